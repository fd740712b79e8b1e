import { context, type SpanContext, SpanKind, trace, TraceFlags } from "@opentelemetry/api"
import {
  AlwaysOffSampler,
  ParentBasedSampler,
  type ReadableSpan,
  TracerProvider,
} from "@opentelemetry/sdk-trace"
import { Diverged } from "lockstep"
import { describe, expect, it } from "vitest"
import { inMemory, isBelow } from "../telemetry/in-memory.ts"
import type { ReceivedSpan } from "../telemetry/otlp.ts"
import { Receiver } from "../telemetry/receiver.ts"
import { LedgerGroup } from "./group.ts"
import { Ledger } from "./ledger.ts"

const { named, records, spanProcessors, spans } = inMemory()
/** Samples no root; the other one every. Both follow a parent. */
const choosy = new TracerProvider({
  spanProcessors,
  sampler: new ParentBasedSampler({ root: new AlwaysOffSampler() }),
})

const millisOf = ([seconds, nanos]: readonly [number, number] = [0, 0]): number =>
  seconds * 1000 + nanos / 1e6
/** Two processes read one clock a little differently; and one of them may be slow. */
const CLOCKS_MS = 10
const SLOW_MS = 1000

const exportingTo = (receiver: Receiver) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
  OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
  OTEL_BSP_SCHEDULE_DELAY: "50",
  OTEL_METRICS_EXPORTER: "none",
  OTEL_LOGS_EXPORTER: "none",
})

describe("a replica that answers wrongly", () => {
  /** All but the last of so many calls, of which the liar answers that one wrongly. */
  const RIGHT = 100
  const unsampled = {
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    traceFlags: TraceFlags.NONE,
  }
  const below = <Result>(parent: SpanContext, run: () => Result): Result =>
    context.with(trace.setSpanContext(context.active(), parent), run)

  async function lying() {
    const stack = new AsyncDisposableStack()
    const receiver = stack.use(await Receiver.start())
    const group = stack.use(await LedgerGroup.start({ r1: "value" }, {}, "copies", exportingTo(receiver)))
    const client = stack.use(await group.connect())
    const ledger = client.actor(Ledger, "key")
    for (let i = 0; i < RIGHT; i++) await below(unsampled, () => ledger.record(`${i}`))
    const received = (name: string) => receiver.spans.filter(({ span }) => span.name === name)
    return { receiver, ledger, received, [Symbol.asyncDispose]: () => stack.disposeAsync() }
  }

  /** What the vote links to: the replicas, what they were to the decision, and the digests of what they said. */
  function linksOf(
    vote: ReadableSpan | undefined,
    processed: ReadonlyArray<{ readonly instance: string; readonly span: ReceivedSpan }>,
  ) {
    return vote?.links.map(({ context: linked, attributes = {} }) => {
      const to = processed.find(({ span }) => span.spanId === linked.spanId)
      return {
        replica: attributes["lockstep.replica"],
        verdict: attributes["lockstep.vote"],
        instance: to?.instance,
        sameTrace: to?.span.traceId === linked.traceId,
        digest: to?.span.attributes.find(({ key }) => key === "lockstep.output.digest")?.value["stringValue"],
      }
    })
  }

  it("is linked to by the vote as a dissent, beside those who agree", async () => {
    await using run = await lying()
    await run.ledger.record("traced")
    await expect.poll(() => run.received("process cmd.main.0").length, { timeout: 20_000 }).toBe(3)
    await expect.poll(() => named("vote test/Ledger/record"), { timeout: 10_000 }).toHaveLength(1)
    const [vote] = named("vote test/Ledger/record")
    const links = linksOf(vote, run.received("process cmd.main.0"))
    expect(links?.map(({ replica }) => replica).toSorted()).toEqual(["r0", "r1", "r2"])
    expect(links?.map(({ instance, sameTrace }) => [instance, sameTrace])).toEqual(
      links?.map(({ replica }) => [replica, true]),
    )
    expect(links?.filter(({ verdict }) => verdict === "dissent").map(({ replica }) => replica)).toEqual([
      "r1",
    ])
    const digests = new Map(links?.map(({ replica, digest }) => [replica, digest]))
    expect(digests.get("r0")).toBe(digests.get("r2"))
    expect(digests.get("r0")).not.toBe(digests.get("r1"))
    expect(vote?.attributes["lockstep.votes.dissent"]).toBe(1)
  })

  type Run = Awaited<ReturnType<typeof lying>>
  /** How many spans there are of commands that ran; once all are there the vote's, which links to them, has ended. */
  const applied = (run: Run): number =>
    named("vote test/Ledger/record").length === 1 ? run.received("apply test/Ledger/record").length : 0

  /** The whole tree of the one call that was answered wrongly, and nothing of those before, which nobody wanted to see. */
  function expectWhole(run: Run, parent: Partial<SpanContext>): void {
    const [call] = named("test/Ledger/record")
    const [send] = named("send cmd.main.0")
    const [vote] = named("vote test/Ledger/record")
    expect(spans()).toHaveLength(3)
    expect(call?.kind).toBe(SpanKind.CLIENT)
    expect(call?.parentSpanContext).toMatchObject(parent)
    expect(call?.spanContext().traceId).toBe(parent.traceId ?? call?.spanContext().traceId)
    expect(call?.attributes).toMatchObject({ "lockstep.log.seq": RIGHT + 2, "lockstep.votes.dissent": 1 })
    expect([send, vote].map((span) => span !== undefined && isBelow(span, call))).toEqual([true, true])
    const processed = run.received("process cmd.main.0")
    expect(processed.map(({ instance }) => instance).toSorted()).toEqual(["r0", "r1", "r2"])
    for (const { span } of processed)
      expect([span.traceId, span.parentSpanId]).toEqual([
        send?.spanContext().traceId,
        send?.spanContext().spanId,
      ])
    const above = run.received("apply test/Ledger/record").map(({ span }) => span.parentSpanId)
    expect(new Set(above)).toEqual(new Set(processed.map(({ span }) => span.spanId)))
    expect(run.receiver.spans).toHaveLength(6)
    const links = linksOf(vote, processed)
    expect(
      links?.map(({ replica, instance, sameTrace }) => [replica, instance, sameTrace]).toSorted(),
    ).toEqual(["r0", "r1", "r2"].map((replica) => [replica, replica, true]))
    expect(links?.filter(({ verdict }) => verdict === "dissent").map(({ replica }) => replica)).toEqual([
      "r1",
    ])
    const digests = new Map(links?.map(({ replica, digest }) => [replica, digest]))
    expect(digests.get("r0")).toBe(digests.get("r2"))
    expect(digests.get("r0")).not.toBe(digests.get("r1"))
    const told = records
      .getFinishedLogRecords()
      .filter(({ eventName }) => eventName === "lockstep.vote.dissent")
    expect(told.map(({ spanContext }) => spanContext?.spanId)).toEqual([call?.spanContext().spanId])
    const startMs = millisOf(call?.startTime)
    const endMs = millisOf(call?.endTime)
    for (const { span } of run.receiver.spans) {
      const { startTimeUnixNano, endTimeUnixNano } = span
      expect(Number(startTimeUnixNano) / 1e6).toBeGreaterThanOrEqual(startMs - CLOCKS_MS)
      expect(Number(startTimeUnixNano) / 1e6).toBeLessThanOrEqual(Number(endTimeUnixNano) / 1e6)
      expect(Number(startTimeUnixNano) / 1e6).toBeLessThanOrEqual(endMs + SLOW_MS)
    }
  }

  it("makes the trace whole, although nobody had sampled it: of that call, below what it was made in", async () => {
    await using run = await lying()
    await below(unsampled, () => run.ledger.record("untraced"))
    await expect.poll(() => applied(run), { timeout: 20_000 }).toBe(3)
    expectWhole(run, { traceId: unsampled.traceId, spanId: unsampled.spanId })
  })

  it("does so where another one is wrong in another way, and nobody can be believed", async () => {
    await using receiver = await Receiver.start()
    await using group = await LedgerGroup.start(
      { r0: "value", r1: "error" },
      {},
      "copies",
      exportingTo(receiver),
    )
    await using client = await group.connect()
    const ledger = client.actor(Ledger, "key")
    for (let i = 0; i < RIGHT; i++) await below(unsampled, () => ledger.record(`${i}`))
    await expect(below(unsampled, () => ledger.record("undecided"))).rejects.toBeInstanceOf(Diverged)
    const executed = () => receiver.spans.filter(({ span }) => span.name === "apply test/Ledger/record")
    await expect.poll(() => executed().length, { timeout: 20_000 }).toBe(3)
    const [call] = named("test/Ledger/record")
    const [send] = named("send cmd.main.0")
    expect(spans()).toHaveLength(2)
    expect(call?.parentSpanContext).toMatchObject({ traceId: unsampled.traceId, spanId: unsampled.spanId })
    expect(call?.attributes).toMatchObject({ "lockstep.log.seq": RIGHT + 2, "error.type": "Diverged" })
    const processed = receiver.spans.filter(({ span }) => span.name === "process cmd.main.0")
    expect(processed.map(({ instance }) => instance).toSorted()).toEqual(["r0", "r1", "r2"])
    expect(new Set(processed.map(({ span }) => span.parentSpanId))).toEqual(
      new Set([send?.spanContext().spanId]),
    )
    expect(receiver.spans).toHaveLength(6)
    const told = records.getFinishedLogRecords().filter(({ eventName }) => eventName === "lockstep.no_quorum")
    expect(told.map(({ spanContext }) => spanContext?.spanId)).toEqual([call?.spanContext().spanId])
  })

  it("does so where the call was its own root as well", async () => {
    await using run = await lying()
    trace.disable()
    trace.setGlobalTracerProvider(choosy)
    await run.ledger.record("untraced")
    await expect.poll(() => applied(run), { timeout: 20_000 }).toBe(3)
    expectWhole(run, {})
  })
})
