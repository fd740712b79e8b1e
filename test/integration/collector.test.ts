import { context, logs, SpanStatusCode, trace } from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-proto"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto"
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs"
import {
  BatchSpanProcessor,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace"
import { afterEach, describe, expect, it } from "vitest"
import { METRICS } from "../../framework/runtime/src/telemetry/metrics.ts"
import { ATTRIBUTES, EVENTS } from "../../framework/runtime/src/telemetry/names.ts"
import { Collector, findCollector } from "../telemetry/collector.ts"
import { Receiver } from "../telemetry/receiver.ts"
import { LedgerGroup } from "./group.ts"
import { Ledger } from "./ledger.ts"

const { file, why } = findCollector()
const soon = { timeout: 20_000 }

/** What this process tells goes to the collector, and stays here as well. */
function tracedTo(url: string) {
  const memory = new InMemorySpanExporter()
  const provider = new TracerProvider({
    spanProcessors: [
      new SimpleSpanProcessor({ exporter: memory }),
      new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: `${url}/v1/traces` }) }),
    ],
  })
  const logger = new LoggerProvider({
    processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter({ url: `${url}/v1/logs` }) })],
  })
  logs.setGlobalLoggerProvider(logger)
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider(provider)
  return {
    calls: () => memory.getFinishedSpans().filter(({ name }) => name === "test/Ledger/record"),
    flush: () => Promise.all([provider.forceFlush(), logger.forceFlush()]),
    [Symbol.asyncDispose]: () => Promise.all([provider.shutdown(), logger.shutdown()]).then(() => undefined),
  }
}

afterEach(() => {
  trace.disable()
  context.disable()
  logs.disable()
})

describe("a collector that runs infra/otel/collector.yaml", () => {
  it.skipIf(
    file === "", // none is built (infra/otel/README.md): the title says why
  )(
    `keeps traces with a dissent or an error, and none of the rest where it is to; and all metrics and log records ${why}`,
    async () => {
      await using receiver = await Receiver.start()
      await using collector = await Collector.start(file, { to: receiver.url, keptPercent: 0 })
      await using group = await LedgerGroup.start({ r1: "value" }, {}, "copies", {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
        OTEL_BSP_SCHEDULE_DELAY: "50",
        OTEL_METRIC_EXPORT_INTERVAL: "500",
        OTEL_METRIC_EXPORT_TIMEOUT: "500",
        OTEL_LOGS_EXPORTER: "none",
      })
      await using client = await group.connect()
      const ledger = client.actor(Ledger, "key")
      // r1 is wrong from then on
      for (let i = 0; i < 100; i++) await ledger.record(`${i}`)
      await using telling = tracedTo(collector.url)
      for (let i = 0; i < 3; i++) {
        const { asked } = client.counts
        group.replica(2).pause()
        const answer = ledger.record(`with a dissent ${i}`)
        // whoever asks for what is missing has heard of the others
        await expect.poll(() => client.counts.asked, soon).toBeGreaterThan(asked)
        group.replica(2).resume()
        await answer
      }
      for (let i = 0; i < 20; i++) await client.actor(Ledger, `little ${i % 4}`).record("all agree")
      await using hasty = await group.connect({ limits: { deadlineMs: 1000 } })
      for (const replica of group.replicas) replica.pause()
      await expect(hasty.actor(Ledger, "unanswered").record("x")).rejects.toThrow()
      for (const replica of group.replicas) replica.resume()
      await telling.flush()

      const calls = telling.calls()
      const isOdd = ({ attributes, status }: (typeof calls)[number]): boolean =>
        Number(attributes[ATTRIBUTES.votesDissent] ?? 0) > 0 || status.code === SpanStatusCode.ERROR
      const idsOf = (spans: typeof calls) => new Set(spans.map((span) => span.spanContext().traceId))
      const odd = idsOf(calls.filter(isOdd))
      expect([odd.size, calls.length]).toEqual([4, 24])
      const kept = () => receiver.spans.map(({ span }) => span)
      await expect.poll(() => new Set(kept().map(({ traceId }) => traceId)), soon).toEqual(odd)
      const named = (name: string) => kept().filter((span) => span.name === name)
      expect(named("test/Ledger/record")).toHaveLength(4)
      // what replicas told goes with what the caller told
      expect(named("process cmd.main.0").length).toBeGreaterThanOrEqual(9)
      expect(new Set(kept().map(({ spanId }) => spanId)).size).toBe(kept().length)
      for (const replica of ["r0", "r1", "r2"])
        await expect.poll(() => receiver.metrics.get(replica), soon).toEqual(new Set(SEATS))
      const dissents = () => receiver.records.filter(({ record }) => record.eventName === EVENTS.dissent)
      await expect.poll(() => new Set(dissents().map(({ record }) => record.traceId)).size, soon).toBe(3)
      expect([receiver.contentTypes, receiver.refused]).toEqual([new Set(["application/x-protobuf"]), []])
    },
  )
})

/** What is measured of checkpoints on disks: these replicas have no folders. */
const KEPT = /checkpoint\.(?:age|duration|size|written)$/
/** What replicas that vote measure. */
const SEATS = Object.values(METRICS)
  .map(({ name }) => name)
  .filter((name) => name.startsWith("lockstep.replica.") || name.startsWith("rpc.server."))
  .filter((name) => !KEPT.test(name))
