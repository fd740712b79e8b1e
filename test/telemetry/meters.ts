import { metrics } from "@opentelemetry/api"
import {
  AggregationTemporality,
  type ExponentialHistogram,
  type Histogram,
  MeterProvider,
  MetricReader,
} from "@opentelemetry/sdk-metrics"

/** One value of one metric, as an exporter would send it. */
export interface Point {
  readonly name: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly value: number | Histogram | ExponentialHistogram
}

/** The metrics that this process makes, in memory, for as long as it is not disposed of. */
export class Meters implements AsyncDisposable {
  readonly #reader: Reader
  readonly #provider: MeterProvider

  /** What is told is what there is in all, or what there is since it was collected before. */
  constructor(temporality = AggregationTemporality.CUMULATIVE) {
    this.#reader = new Reader({ aggregationTemporalitySelector: () => temporality })
    this.#provider = new MeterProvider({ readers: [this.#reader] })
    metrics.setGlobalMeterProvider(this.#provider)
  }

  /** What is collected at this moment. */
  async collect(): Promise<ReadonlyArray<Point>> {
    const { resourceMetrics, errors } = await this.#reader.collect()
    if (errors.length > 0) throw new AggregateError(errors, "not everything could be collected")
    return resourceMetrics.scopeMetrics.flatMap(({ metrics: all }) =>
      all.flatMap(({ descriptor, dataPoints }) =>
        dataPoints.map(({ attributes, value }) => ({ name: descriptor.name, attributes, value })),
      ),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    metrics.disable()
    await this.#provider.shutdown()
  }
}

class Reader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve()
  }

  protected override onShutdown(): Promise<void> {
    return Promise.resolve()
  }
}
