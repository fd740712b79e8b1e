import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

/** A span as OTLP/JSON has it. */
export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly traceState?: string
  readonly name: string
  readonly attributes: ReadonlyArray<{
    readonly key: string
    readonly value: Readonly<Record<string, unknown>>
  }>
}

/** Spans of one service. */
interface ResourceSpans {
  readonly resource: Pick<ReceivedSpan, "attributes">
  readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<ReceivedSpan> }>
}

/** Metrics of one service. */
interface ResourceMetrics {
  readonly resource: Pick<ReceivedSpan, "attributes">
  readonly scopeMetrics: ReadonlyArray<{ readonly metrics: ReadonlyArray<{ readonly name: string }> }>
}

/** Receives OTLP/HTTP with JSON, on a port of its own, and keeps what it got. */
export class Receiver implements AsyncDisposable {
  /** By the instance of the service that sent them. */
  readonly spans: Array<{ readonly instance: string; readonly span: ReceivedSpan }> = []
  /** Names, by the instance of the service that sent them. */
  readonly metrics = new Map<string, Set<string>>()
  readonly #server = createServer((request, response) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("end", () => {
      const text = Buffer.concat(parts).toString()
      if (request.url === "/v1/traces") this.#takeSpans(text)
      if (request.url === "/v1/metrics") this.#takeMetrics(text)
      response.writeHead(200, { "content-type": "application/json" }).end("{}")
    })
  })

  static async start(): Promise<Receiver> {
    const receiver = new Receiver()
    await new Promise<void>((resolve) => receiver.#server.listen(0, "127.0.0.1", resolve))
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` // it listens on TCP
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #takeSpans(text: string): void {
    const { resourceSpans } = JSON.parse(text) as { readonly resourceSpans: ReadonlyArray<ResourceSpans> } // that is OTLP
    for (const { resource, scopeSpans } of resourceSpans) {
      const instance = instanceOf(resource)
      for (const { spans } of scopeSpans) for (const span of spans) this.spans.push({ instance, span })
    }
  }

  #takeMetrics(text: string): void {
    const { resourceMetrics } = JSON.parse(text) as {
      readonly resourceMetrics: ReadonlyArray<ResourceMetrics>
    } // that is OTLP
    for (const { resource, scopeMetrics } of resourceMetrics) {
      const instance = instanceOf(resource)
      const names = this.metrics.get(instance) ?? new Set()
      this.metrics.set(instance, names)
      for (const { metrics } of scopeMetrics) for (const { name } of metrics) names.add(name)
    }
  }
}

function instanceOf({ attributes }: Pick<ReceivedSpan, "attributes">): string {
  return String(attributes.find(({ key }) => key === "service.instance.id")?.value["stringValue"])
}
