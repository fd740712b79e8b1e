import { gzipSync } from "node:zlib"
import { ROOT_CONTEXT, SeverityNumber, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api"
import { OTLPLogExporter as JsonLogs } from "@opentelemetry/exporter-logs-otlp-http"
import { OTLPLogExporter as ProtobufLogs } from "@opentelemetry/exporter-logs-otlp-proto"
import { OTLPMetricExporter as JsonMetrics } from "@opentelemetry/exporter-metrics-otlp-http"
import { OTLPMetricExporter as ProtobufMetrics } from "@opentelemetry/exporter-metrics-otlp-proto"
import { OTLPTraceExporter as JsonTraces } from "@opentelemetry/exporter-trace-otlp-http"
import { OTLPTraceExporter as ProtobufTraces } from "@opentelemetry/exporter-trace-otlp-proto"
import { resourceFromAttributes } from "@opentelemetry/resources"
import {
  InMemoryLogRecordExporter,
  LoggerProvider,
  type ReadableLogRecord,
  SimpleLogRecordProcessor,
} from "@opentelemetry/sdk-logs"
import { MeterProvider, MetricReader, type ResourceMetrics } from "@opentelemetry/sdk-metrics"
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace"
import { afterEach, describe, expect, it, vi } from "vitest"
import { attributesOf } from "./telemetry/otlp.ts"
import { Receiver } from "./telemetry/receiver.ts"

const resource = resourceFromAttributes({ "service.name": "test", "service.instance.id": "r1" })
const attributes = {
  text: "ä\u0000🏦",
  whole: 9_007_199_254_740_991,
  negative: -1,
  zero: 0,
  fraction: 0.25,
  yes: true,
  no: false,
  list: ["a", "b"],
}

/** Spans of every kind of thing that a span has. */
async function someSpans(): Promise<ReadonlyArray<ReadableSpan>> {
  const memory = new InMemorySpanExporter()
  const provider = new TracerProvider({
    resource,
    spanProcessors: [new SimpleSpanProcessor({ exporter: memory })],
  })
  const tracer = provider.getTracer("scope", "1")
  const root = tracer.startSpan("root", { kind: SpanKind.CLIENT, attributes })
  const below = trace.setSpan(ROOT_CONTEXT, root)
  const links = [{ context: root.spanContext(), attributes: { why: "a vote" } }]
  const child = tracer.startSpan("child", { kind: SpanKind.CONSUMER, links }, below)
  child.addEvent("happened", { at: 1 }).setStatus({ code: SpanStatusCode.ERROR, message: "no" })
  child.end()
  root.end()
  await provider.forceFlush()
  return memory.getFinishedSpans()
}

class Reader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve()
  }

  protected override onShutdown(): Promise<void> {
    return Promise.resolve()
  }
}

/** One metric of each kind that we make. */
async function someMetrics(): Promise<ResourceMetrics> {
  const reader = new Reader()
  const meter = new MeterProvider({ resource, readers: [reader] }).getMeter("scope")
  meter.createCounter("counted", { unit: "{vote}" }).add(3, attributes)
  meter.createHistogram("lasted", { unit: "s" }).record(0.25, { text: "a" })
  meter.createObservableGauge("measured").addCallback((result) => result.observe(0.5))
  return (await reader.collect()).resourceMetrics
}

async function someRecords(): Promise<Array<ReadableLogRecord>> {
  const memory = new InMemoryLogRecordExporter()
  const processors = [new SimpleLogRecordProcessor({ exporter: memory })]
  const provider = new LoggerProvider({ resource, processors })
  const spanContext = {
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    traceFlags: 1,
  }
  const context = trace.setSpanContext(ROOT_CONTEXT, spanContext)
  provider.getLogger("scope").emit({
    eventName: "lockstep.reign",
    severityNumber: SeverityNumber.WARN,
    body: "words",
    attributes,
    context,
  })
  await provider.forceFlush()
  return memory.getFinishedLogRecords()
}

/** Until it is sent. */
function exported<What>(
  exporter: {
    export(items: What, done: (result: { code: number; error?: Error }) => void): void
    shutdown(): Promise<void>
  },
  items: What,
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    exporter.export(items, ({ code, error }) => (code === 0 ? resolve() : reject(error)))
  }).then(() => exporter.shutdown())
}

/** What arrives of the same things. */
async function received(protocol: "json" | "protobuf", things: Things): Promise<Receiver> {
  await using receiver = await Receiver.start()
  const to = (path: string) => ({ url: `${receiver.url}/v1/${path}` })
  const isJson = protocol === "json"
  const traces = isJson ? new JsonTraces(to("traces")) : new ProtobufTraces(to("traces"))
  const metrics = isJson ? new JsonMetrics(to("metrics")) : new ProtobufMetrics(to("metrics"))
  const logs = isJson ? new JsonLogs(to("logs")) : new ProtobufLogs(to("logs"))
  await exported(traces, [...things.spans])
  await exported(metrics, things.metrics)
  await exported(logs, things.records)
  expect(receiver.contentTypes).toEqual(new Set([isJson ? "application/json" : "application/x-protobuf"]))
  return receiver
}

interface Things {
  readonly spans: ReadonlyArray<ReadableSpan>
  readonly metrics: ResourceMetrics
  readonly records: Array<ReadableLogRecord>
}

const things = async (): Promise<Things> => ({
  spans: await someSpans(),
  metrics: await someMetrics(),
  records: await someRecords(),
})

afterEach(() => vi.unstubAllEnvs())

describe("the tests' receiver", () => {
  it.each(["none", "gzip"])(
    "gets the same from protobuf as from JSON, compressed: %s",
    async (compression) => {
      vi.stubEnv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
      const same = await things()
      const json = await received("json", same)
      const protobuf = await received("protobuf", same)
      expect(protobuf.spans).toEqual(json.spans)
      expect(protobuf.measured).toEqual(json.measured)
      expect(protobuf.metrics).toEqual(json.metrics)
      expect(protobuf.records).toEqual(json.records)
      expect([json.spans.length, json.measured.length, json.records.length]).toEqual([2, 3, 1])
    },
  )

  it.each(["json", "protobuf"] as const)("understands what was sent as %s", async (protocol) => {
    const sent = await things()
    const { spans, measured, records } = await received(protocol, sent)
    const [root, child] = ["root", "child"].map((name) => spans.find(({ span }) => span.name === name)?.span)
    const sentRoot = sent.spans.find(({ name }) => name === "root")
    expect(root).toMatchObject({ ...pick(sentRoot?.spanContext()), parentSpanId: "", kind: 3 })
    expect(child).toMatchObject({ traceId: root?.traceId, parentSpanId: root?.spanId, kind: 5 })
    expect(root && attributesOf(root)).toEqual(attributes)
    expect(child?.links).toMatchObject([{ traceId: root?.traceId, spanId: root?.spanId }])
    expect(child?.events.map(({ name }) => name)).toEqual(["happened"])
    expect(child?.status).toMatchObject({ code: 2, message: "no" })
    const metric = (name: string) => measured.find((each) => each.metric.name === name)?.metric
    expect(metric("counted")).toMatchObject({ unit: "{vote}", sum: { isMonotonic: true } })
    expect(metric("lasted")).toMatchObject({ histogram: { dataPoints: [{ count: "1", sum: 0.25 }] } })
    expect(metric("measured")).toMatchObject({ gauge: { dataPoints: [{ asDouble: 0.5 }] } })
    expect(records).toMatchObject([
      { instance: "r1", record: { eventName: "lockstep.reign", spanId: "b7ad6b7169203331" } },
    ])
    expect(spans.map(({ instance }) => instance)).toEqual(["r1", "r1"])
  })

  it.each([
    ["no protobuf", "/v1/traces", "application/x-protobuf", Buffer.from("nothing of the kind")],
    ["no JSON", "/v1/traces", "application/json", Buffer.from("{")],
    ["no gzip", "/v1/logs", "application/json; gzip", Buffer.from("{}")],
    ["another path", "/v1/profiles", "application/json", Buffer.from("{}")],
    ["another protocol", "/v1/traces", "text/plain", gzipSync("{}")],
  ])("refuses %s, and says so", async (_, path, type, body) => {
    await using receiver = await Receiver.start()
    const [contentType = "", encoding] = type.split("; ")
    const headers = { "content-type": contentType, ...(encoding && { "content-encoding": encoding }) }
    const { status } = await fetch(receiver.url + path, { method: "POST", headers, body })
    expect(status).toBe(400)
    expect(receiver.refused).toHaveLength(1)
  })
})

function pick(of: { readonly traceId: string; readonly spanId: string } | undefined) {
  return { traceId: of?.traceId, spanId: of?.spanId }
}
