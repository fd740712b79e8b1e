import type { ReplicationMode } from "@lockstep/replication"
import {
  context,
  createTraceState,
  logs,
  metrics,
  propagation,
  ROOT_CONTEXT,
  SpanStatusCode,
  trace,
  TraceFlags,
} from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics"
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  type SpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace"
import { ReplicaProcess } from "@lockstep/replica-service/process"
import { type Client, connect, primaryBackup, stateMachine } from "lockstep"
import { develop, startServer } from "lockstep/develop"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { Group } from "../conformance/group.ts"
import { Receiver } from "../telemetry/receiver.ts"
import { expectEqual, type Telemetry, TYPESCRIPT } from "./group.ts"

const exporter = new InMemorySpanExporter()
const records = new InMemoryLogRecordExporter()
const measured = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
const reader = new PeriodicExportingMetricReader({ exporter: measured, exportIntervalMillis: 600_000 })
const meters = new MeterProvider({ readers: [reader] })
const logger = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter: records })] })
/** Fails at every span of this name. */
let fragile = ""
const failing: SpanProcessor = {
  onStart: ({ name }) => {
    if (name === fragile) throw new Error("a span processor is broken")
  },
  onEnd: () => undefined,
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
}
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter }), failing] })
const manage = () => context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())

const voted = stateMachine({ faults: 1, faultModel: "byzantine" })
const once = primaryBackup({ replication: "synchronous" })
/** Its module has a tracer, a logger and an instrument of its own as soon as it is imported. */
let auditedIn: (typeof import("./audited.ts"))["auditedIn"]

beforeAll(async () => {
  trace.setGlobalTracerProvider(provider)
  logs.setGlobalLoggerProvider(logger)
  metrics.setGlobalMeterProvider(meters)
  ;({ auditedIn } = await import("./audited.ts"))
})
beforeEach(() => {
  exporter.reset()
  records.reset()
  fragile = ""
  manage()
})
afterEach(() => context.disable())
afterAll(async () => {
  trace.disable()
  logs.disable()
  metrics.disable()
  await Promise.all([provider.shutdown(), logger.shutdown(), meters.shutdown()])
})

const spans = (): ReadonlyArray<ReadableSpan> => exporter.getFinishedSpans()
const named = (name: string) => spans().filter((span) => span.name === name)
/** By the names of the spans: how many of those that are first hang below one of those that are second. */
const below = (name: string, above: string): number => {
  const ids = new Set(named(above).map((span) => span.spanContext().spanId))
  return named(name).filter(({ parentSpanContext }) => ids.has(parentSpanContext?.spanId ?? "")).length
}
const recorded = async (): Promise<number> => {
  await reader.forceFlush()
  const [metric] = (measured.getMetrics().at(-1)?.scopeMetrics ?? []).flatMap((scope) =>
    scope.metrics.filter(({ descriptor }) => descriptor.name === "audited.records"),
  )
  return Number(metric?.dataPoints[0]?.value ?? 0)
}
const ROOT = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" }
const inTrace = <Result>(traceFlags: TraceFlags, run: () => Result): Result => {
  const traceState = createTraceState("vendor=opaque")
  const active = trace.setSpanContext(ROOT_CONTEXT, { ...ROOT, traceFlags, traceState })
  const baggage = propagation.createBaggage({ tenant: { value: "acme" }, secret: { value: "no" } })
  return context.with(propagation.setBaggage(active, baggage), run)
}

/** All its commands run twice: that is how a group develops. */
async function begun(mode: ReplicationMode) {
  const stack = new AsyncDisposableStack()
  const actor = auditedIn(mode)
  const group = stack.use(await develop([actor]))
  const client: Client = stack.use(await connect({ servers: group.servers, baggage: ["tenant"] }))
  const audited = client.actor(actor, "a")
  exporter.reset() // a class is defined by constructing one
  return { audited, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

describe("a command that tells OpenTelemetry what it does", () => {
  it("has its spans below what its replica says of it, once on each, with the caller's baggage and tracestate", async () => {
    await using run = await begun(voted)
    const before = await recorded()
    expect(await inTrace(TraceFlags.SAMPLED, () => run.audited.record("one"))).toBe(0)
    await expect.poll(() => named("audit").length, { timeout: 10_000 }).toBe(3)
    expect(below("audit", "apply test/Audited/record")).toBe(3)
    expect([below("inner", "audit"), below("detached", "audit")]).toEqual([3, 3])
    expect([named("inner").length, named("detached").length, named("construct").length]).toEqual([3, 3, 0])
    for (const span of named("audit")) {
      expect(span.attributes).toEqual({ id: "one", tenant: "acme" })
      expect(span.events.map(({ name }) => name)).toEqual(["checked", "exception", "active"])
      expect(span.status.code).toBe(SpanStatusCode.OK)
      expect(span.spanContext().traceId).toBe(ROOT.traceId)
      expect(span.spanContext().traceState?.serialize()).toBe("vendor=opaque")
    }
    const told = records.getFinishedLogRecords().filter(({ eventName }) => eventName === "recorded")
    expect(told).toHaveLength(3)
    expect(new Set(told.map(({ spanContext }) => spanContext?.spanId))).toEqual(
      new Set(named("audit").map((span) => span.spanContext().spanId)),
    )
    expect((await recorded()) - before).toBe(3)
    await inTrace(TraceFlags.SAMPLED, () => run.audited.all())
    await expect.poll(() => below("read", "apply test/Audited/all"), { timeout: 10_000 }).toBe(3)
  })

  it("makes no spans where its caller does not trace it; what it counts is counted", async () => {
    await using run = await begun(voted)
    const before = await recorded()
    await inTrace(TraceFlags.NONE, () => run.audited.record("one"))
    await expect.poll(recorded, { timeout: 10_000 }).toBe(before + 3)
    expect(spans()).toEqual([])
    expect(records.getFinishedLogRecords()).toHaveLength(3)
  })

  it("leaves the span alone in which its replica was started", async () => {
    const startup = provider.getTracer("test").startSpan("startup")
    await using run = await context.with(trace.setSpan(ROOT_CONTEXT, startup), () => begun(voted))
    expect(await inTrace(TraceFlags.NONE, () => run.audited.record("one"))).toBe(0)
    await expect.poll(() => records.getFinishedLogRecords().length, { timeout: 10_000 }).toBe(3)
    startup.end()
    const [ended, ...others] = spans()
    expect(others).toEqual([])
    expect(ended).toMatchObject({ name: "startup", events: [], status: { code: SpanStatusCode.UNSET } })
    const contexts = records.getFinishedLogRecords().map(({ spanContext }) => spanContext)
    expect(contexts).toEqual([undefined, undefined, undefined])
  })

  it("has its spans where they belong also where no context manager is registered", async () => {
    context.disable()
    await using run = await begun(voted)
    expect(await run.audited.record("one")).toBe(0)
    await expect.poll(() => named("audit").length, { timeout: 10_000 }).toBe(3)
    expect(below("audit", "apply test/Audited/record")).toBe(3)
    expect([below("inner", "audit"), below("detached", "audit")]).toEqual([3, 3])
  })

  it("is guarded within its own spans, as everywhere", async () => {
    await using run = await begun(voted)
    await expect(run.audited.clock()).rejects.toMatchObject({ _tag: "ActorError", code: "Nondeterminism" })
  })

  it("is found out where it decides by its spans, before anybody disagrees", async () => {
    await using run = await begun(voted)
    await expect(run.audited.decide("x")).rejects.toMatchObject({
      _tag: "ActorError",
      code: "Nondeterminism",
    })
  })

  it("does not fail where what is registered does", async () => {
    await using run = await begun(voted)
    fragile = "audit"
    expect(await run.audited.record("one")).toBe(0)
    expect(await run.audited.all()).toEqual(["one"])
  })

  it("tells nothing again where a replica executes the log once more", async () => {
    const actor = auditedIn(voted)
    await using group = await Group.start(actor, voted)
    await using client = await group.connect()
    const audited = client.actor(actor, "a")
    for (let i = 0; i < 3; i++) await audited.record(`${i}`)
    await expect.poll(() => named("audit").length, { timeout: 10_000 }).toBe(9)
    await group.stop("r1")
    await group.start("r1")
    await expect.poll(() => group.hosts.every(({ caughtUp }) => caughtUp), { timeout: 10_000 }).toBe(true)
    expect(named("replay")).toHaveLength(1)
    expect(named("audit")).toHaveLength(9)
  })
})

describe("a command that one replica executes, and that tells OpenTelemetry what it does", () => {
  it("has its spans below what the primary says of it, with the caller's baggage and tracestate", async () => {
    await using run = await begun(once)
    await inTrace(TraceFlags.SAMPLED, () => run.audited.record("one"))
    expect(below("audit", "apply test/Audited/record")).toBe(1)
    expect(named("audit")[0]?.attributes["tenant"]).toBe("acme")
    expect(named("audit")[0]?.spanContext().traceState?.serialize()).toBe("vendor=opaque")
    expect(named("construct")).toEqual([])
  })

  it("makes no spans where its caller does not trace it", async () => {
    await using run = await begun(once)
    await inTrace(TraceFlags.NONE, () => run.audited.record("one"))
    await inTrace(TraceFlags.NONE, () => run.audited.all())
    expect(spans()).toEqual([])
  })
})

describe("replica processes", () => {
  it("export what their actors tell, below what the caller sent; one that exports nothing agrees with them", async () => {
    await using stack = new AsyncDisposableStack()
    const receiver = stack.use(await Receiver.start())
    const server = stack.adopt(await startServer(), (started) => started.stop())
    const telemetry: Telemetry = {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_BSP_SCHEDULE_DELAY: "50",
      OTEL_METRICS_EXPORTER: "none",
      OTEL_LOGS_EXPORTER: "none",
    }
    const replicas = ["r0", "r1", "r2"].map((replica) => {
      const settings = { servers: server.url, replica, createReplicas: "r0,r1,r2", determinism: "guarded" }
      const module = new URL("audited.ts", import.meta.url).pathname
      const env = { ...TYPESCRIPT, ...(replica === "r2" ? {} : telemetry) }
      const running = new ReplicaProcess({ ...settings, module }, env)
      return stack.adopt(running, () => running.kill())
    })
    await Promise.all(replicas.map((replica) => replica.start()))
    const client = stack.use(await connect({ servers: server.url, baggage: ["tenant"] }))
    const audited = client.actor(auditedIn(voted), "a")
    exporter.reset()
    expect(await inTrace(TraceFlags.SAMPLED, () => audited.record("one"))).toBe(0)
    expect(await inTrace(TraceFlags.NONE, () => audited.record("two"))).toBe(1)
    await inTrace(TraceFlags.SAMPLED, () => audited.record("three"))
    const received = (name: string) => receiver.spans.filter(({ span }) => span.name === name)
    await expect.poll(() => received("audit").length, { timeout: 20_000 }).toBe(4)
    const applied = new Map(
      received("apply test/Audited/record").map(({ instance, span }) => [span.spanId, instance]),
    )
    for (const { instance, span } of received("audit")) {
      expect(applied.get(span.parentSpanId)).toBe(instance)
      expect(span.traceId).toBe(ROOT.traceId)
      expect(span.traceState).toBe("vendor=opaque")
      const tenant = span.attributes.find(({ key }) => key === "tenant")
      expect(tenant?.value["stringValue"]).toBe("acme")
    }
    expect(receiver.spans.filter(({ span }) => span.parentSpanId === "")).toEqual([])
    await expectEqual(replicas)
    expect(client.counts.dissents.size).toBe(0)
  })
})
