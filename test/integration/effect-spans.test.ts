import { ReplicaProcess } from "@lockstep/replica-service/process"
import { context, ROOT_CONTEXT, trace } from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace"
import { Context, Effect, Layer, Tracer } from "effect"
import { FetchHttpClient } from "effect/http"
import { OtlpSerialization, OtlpTracer } from "effect/observability"
import { stateMachine } from "lockstep"
import { type Development, develop, type Server, startServer } from "lockstep/develop"
import { connect } from "lockstep/effect"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { Receiver } from "../telemetry/receiver.ts"
import { auditedIn } from "./audited.ts"
import { TYPESCRIPT } from "./group.ts"

const Audited = auditedIn(stateMachine({ faults: 1, faultModel: "byzantine" }))
const exporter = new InMemorySpanExporter()
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
const named = (name: string): ReadonlyArray<ReadableSpan> =>
  exporter.getFinishedSpans().filter((span) => span.name === name)

let receiver: Receiver
let group: Development
beforeAll(async () => {
  receiver = await Receiver.start()
  group = await develop([Audited])
})
beforeEach(() => {
  exporter.reset()
  receiver.spans.length = 0
})
afterEach(() => {
  trace.disable()
  context.disable()
})
afterAll(async () => {
  await group.close()
  await receiver[Symbol.asyncDispose]()
  await provider.shutdown()
})

/** Effect's own exporter. */
const exporting = () =>
  OtlpTracer.layer({ url: `${receiver.url}/v1/traces`, resource: { serviceName: "caller" } }).pipe(
    Layer.provide(OtlpSerialization.layerJson),
    Layer.provide(FetchHttpClient.layer),
  )
const exported = (name: string) => receiver.spans.find(({ span }) => span.name === name)?.span

const calling = (servers: string) =>
  Effect.gen(function* () {
    const { actor } = yield* connect({ servers })
    const audited = actor(Audited, "a")
    yield* audited.record("one").pipe(Effect.withSpan("request"))
    expect(yield* audited.greet("you").pipe(Effect.withSpan("greeting"))).toBe("hello you")
    yield* audited.all().pipe(Effect.withSpan("unwanted", { sampled: false }))
  }).pipe(Effect.scoped)

describe("a call that is an Effect", () => {
  for (const managed of [true, false])
    it(`is a span below the current one of Effect, ${managed ? "with" : "without"} a context manager`, async () => {
      trace.setGlobalTracerProvider(provider)
      if (managed) context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
      await Effect.runPromise(calling(group.servers).pipe(Effect.provide(exporting())))
      const [record, ...again] = named("test/Audited/record")
      const [greet] = named("test/Audited/greet")
      expect(again).toEqual([])
      for (const [call, above] of [
        [record, exported("request")],
        [greet, exported("greeting")],
      ] as const) {
        expect(call?.parentSpanContext?.spanId).toBe(above?.spanId)
        expect(call?.spanContext().traceId).toBe(above?.traceId)
        expect(above?.spanId).toBeDefined()
      }
      expect(named("test/Audited/all")).toEqual([])
    })

  it("is the root of its trace where Effect's spans are exported by nobody", async () => {
    trace.setGlobalTracerProvider(provider)
    await Effect.runPromise(calling(group.servers))
    expect(named("test/Audited/record").map(({ parentSpanContext }) => parentSpanContext)).toEqual([
      undefined,
    ])
  })

  it("is below a span above it where its own is not to be seen by others", async () => {
    trace.setGlobalTracerProvider(provider)
    const annotations = Context.make(Tracer.DisablePropagation, true)
    const internal = Effect.gen(function* () {
      const { actor } = yield* connect({ servers: group.servers })
      yield* actor(Audited, "a").record("one").pipe(Effect.withSpan("internal", { annotations }))
    }).pipe(Effect.scoped, Effect.withSpan("outer"), Effect.provide(exporting()))
    await Effect.runPromise(internal)
    const [record] = named("test/Audited/record")
    expect(record?.parentSpanContext?.spanId).toBe(exported("outer")?.spanId)
  })

  it("joins a span from elsewhere all the same", async () => {
    trace.setGlobalTracerProvider(provider)
    const outer = Tracer.externalSpan({
      traceId: "0af7651916cd43dd8448eb211c80319c",
      spanId: "b7ad6b7169203331",
      sampled: true,
    })
    await Effect.runPromise(calling(group.servers).pipe(Effect.withParentSpan(outer)))
    const [record] = named("test/Audited/record")
    expect(record?.parentSpanContext).toMatchObject({ spanId: outer.spanId, isRemote: true })
  })

  it("keeps what OpenTelemetry knows of the same span", async () => {
    trace.setGlobalTracerProvider(provider)
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
    const span = provider.getTracer("test").startSpan("known")
    const { traceId, spanId } = span.spanContext()
    const known = Tracer.externalSpan({ traceId, spanId, sampled: true })
    const run = () => Effect.runPromise(calling(group.servers).pipe(Effect.withParentSpan(known)))
    await context.with(trace.setSpan(ROOT_CONTEXT, span), run)
    expect(named("test/Audited/record")[0]?.parentSpanContext).toMatchObject({ spanId })
    expect(named("test/Audited/record")[0]?.parentSpanContext?.isRemote).toBeUndefined()
  })
})

describe("an Effect program that has no SDK of OpenTelemetry", () => {
  it("is above what replicas do for it, in one trace", async () => {
    await using stack = new AsyncDisposableStack()
    const server: Server = stack.adopt(await startServer(), (started) => started.stop())
    const replicas = ["r0", "r1", "r2"].map((replica) => {
      const settings = { servers: server.url, replica, createReplicas: "r0,r1,r2" }
      const module = new URL("audited.ts", import.meta.url).pathname
      const telemetry = {
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_BSP_SCHEDULE_DELAY: "50",
        OTEL_METRICS_EXPORTER: "none",
        OTEL_LOGS_EXPORTER: "none",
      }
      const running = new ReplicaProcess({ ...settings, module }, { ...TYPESCRIPT, ...telemetry })
      return stack.adopt(running, () => running.kill())
    })
    await Promise.all(replicas.map((replica) => replica.start()))
    await Effect.runPromise(calling(server.url)) // nobody exports its spans
    await Effect.runPromise(calling(server.url).pipe(Effect.provide(exporting())))
    const processed = () => receiver.spans.filter(({ span }) => span.name === "process cmd.main.0")
    await expect.poll(() => processed().length, { timeout: 20_000 }).toBe(6)
    const above = [exported("request"), exported("greeting")]
    expect(new Set(processed().map(({ span }) => span.parentSpanId))).toEqual(
      new Set(above.map((span) => span?.spanId)),
    )
    expect(new Set(processed().map(({ span }) => span.traceId))).toEqual(
      new Set(above.map((span) => span?.traceId)),
    )
  })
})
