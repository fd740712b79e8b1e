import type { ReplicationMode } from "@lockstep/replication"
import { context, SeverityNumber, SpanKind, trace, TraceFlags } from "@opentelemetry/api"
import { type ReadableSpan } from "@opentelemetry/sdk-trace"
import { ActorError, primaryBackup, stateMachine } from "lockstep"
import { describe, expect, it } from "vitest"
import { Group } from "../conformance/group.ts"
import { walletIn } from "../conformance/wallet.ts"
import { inMemory, isBelow } from "../telemetry/in-memory.ts"
import { Receiver } from "../telemetry/receiver.ts"
import { LedgerGroup } from "./group.ts"
import { Ledger } from "./ledger.ts"

const { named, records, spans } = inMemory()

const voted = stateMachine({ faults: 1, faultModel: "byzantine" })
const once = primaryBackup({ replication: "synchronous" })

async function begun(mode: ReplicationMode) {
  const stack = new AsyncDisposableStack()
  const actor = walletIn(mode)
  const group = stack.use(await Group.start(actor, mode))
  const client = stack.use(await group.connect())
  return { group, wallet: client.actor(actor, "w"), [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** What was exported, and what hangs below what. */

describe("a voted call that is traced", () => {
  it("is one trace: the call, what was sent, the vote, and what each replica did", async () => {
    await using run = await begun(voted)
    await run.wallet.deposit(5n)
    await expect.poll(() => named("apply conformance/Wallet/deposit"), { timeout: 10_000 }).toHaveLength(3)
    await expect.poll(() => named("vote conformance/Wallet/deposit"), { timeout: 10_000 }).toHaveLength(1)
    const [call, ...others] = named("conformance/Wallet/deposit")
    expect(others).toEqual([])
    expect(call).toMatchObject({
      kind: SpanKind.CLIENT,
      attributes: {
        "rpc.system.name": "lockstep",
        "rpc.method": "conformance/Wallet/deposit",
        "lockstep.group": "main",
        "lockstep.mode": "state-machine",
        "lockstep.partition": 0,
        "lockstep.quorum.required": 2,
        "lockstep.replicas": 3,
        "lockstep.log.seq": 2,
        "lockstep.votes.dissent": 0,
      },
    })
    const [send] = named("send cmd.main.0")
    const [vote] = named("vote conformance/Wallet/deposit")
    expect(send?.kind).toBe(SpanKind.PRODUCER)
    expect([send, vote].map((span) => span !== undefined && isBelow(span, call))).toEqual([true, true])
    const processed = named("process cmd.main.0")
    expect(processed.map((span) => isBelow(span, send))).toEqual([true, true, true])
    expect(new Set(processed.map(({ attributes }) => attributes["lockstep.replica"]))).toEqual(
      new Set(["r0", "r1", "r2"]),
    )
    expect(new Set(processed.map(({ attributes }) => attributes["lockstep.output.digest"])).size).toBe(1)
    expect(processed.map(({ kind }) => kind)).toEqual([
      SpanKind.CONSUMER,
      SpanKind.CONSUMER,
      SpanKind.CONSUMER,
    ])
    expect(
      new Map(vote?.links.map(({ context: linked, attributes = {} }) => [linked.spanId, attributes])),
    ).toEqual(
      new Map(
        processed.map((span) => [
          span.spanContext().spanId,
          {
            "lockstep.replica": span.attributes["lockstep.replica"],
            "lockstep.vote": expect.stringMatching(/^(match|late)$/),
          },
        ]),
      ),
    )
    expect(vote?.links.map(({ attributes = {} }) => attributes["lockstep.vote"])).toEqual([
      "match",
      "match",
      "late",
    ])
    const applied = named("apply conformance/Wallet/deposit")
    expect(applied.map((span) => processed.filter((parent) => isBelow(span, parent)).length)).toEqual([
      1, 1, 1,
    ])
    expect(spans()).toHaveLength(9)
  })

  it("hangs below the span that it was made in; what the actor throws is an answer, and no error of the call", async () => {
    await using run = await begun(voted)
    const root = trace.getTracer("test").startSpan("a request")
    const failed = context.with(trace.setSpan(context.active(), root), () => run.wallet.withdraw(1n))
    await expect(failed).rejects.toThrow(ActorError)
    root.end()
    const [call] = named("conformance/Wallet/withdraw")
    expect(call !== undefined && isBelow(call, root as unknown as ReadableSpan)).toBe(true) // as the SDK makes them
    expect(call?.attributes["error.type"]).toBe("Overdrawn")
    expect(call?.status.code).toBe(0)
  })

  it("leaves nothing where its root was not sampled, on no replica", async () => {
    await using run = await begun(voted)
    const unsampled = {
      traceId: "0af7651916cd43dd8448eb211c80319c",
      spanId: "b7ad6b7169203331",
      traceFlags: TraceFlags.NONE,
    }
    await context.with(trace.setSpanContext(context.active(), unsampled), () => run.wallet.deposit(1n))
    await run.group.stopAll()
    expect(spans()).toEqual([])
  })

  it("is not told again by a replica that executes the log once more", async () => {
    await using run = await begun(voted)
    for (let i = 0; i < 5; i++) await run.wallet.deposit(1n)
    await expect.poll(() => named("process cmd.main.0"), { timeout: 10_000 }).toHaveLength(15)
    await run.group.stop("r1")
    await run.group.start("r1")
    await expect.poll(() => run.group.hosts.every(({ caughtUp }) => caughtUp), { timeout: 10_000 }).toBe(true)
    expect(named("process cmd.main.0")).toHaveLength(15)
    const [replay, ...others] = named("replay")
    expect(others).toEqual([])
    expect(replay?.parentSpanContext).toBeUndefined()
    expect(replay?.attributes).toMatchObject({
      "lockstep.replica": "r1",
      "lockstep.replay.from": 0,
      "lockstep.replay.to": 6,
      "lockstep.replay.commands": 5,
    })
  })
})

describe("a call that one replica executes, and that is traced", () => {
  it("is one trace: the call, what was sent, and what the primary did", async () => {
    await using run = await begun(once)
    await run.wallet.deposit(5n)
    const [call] = named("conformance/Wallet/deposit")
    const [send] = named("send ask.main.0")
    const [processed] = named("process ask.main.0")
    const [applied] = named("apply conformance/Wallet/deposit")
    expect(call?.attributes).toMatchObject({ "lockstep.mode": "primary-backup", "lockstep.log.seq": 2 })
    expect(send !== undefined && isBelow(send, call)).toBe(true)
    expect(processed !== undefined && isBelow(processed, send)).toBe(true)
    expect(applied !== undefined && isBelow(applied, processed)).toBe(true)
    // how backups got it, where they are in sync by then, is in replication-tracing.test.ts
    expect(spans().filter(({ name }) => name !== "replicate")).toHaveLength(4)
  })
})

describe("a replica that answers wrongly", () => {
  it("is told of in the trace of each call that it was outvoted in; the call is no error", async () => {
    await using group = await LedgerGroup.start({ r1: "value" })
    await using client = await group.connect()
    const ledger = client.actor(Ledger, "key")
    for (let i = 0; i < 105; i++) await ledger.record(`${i}`)
    const dissents = () =>
      records.getFinishedLogRecords().filter(({ eventName }) => eventName === "lockstep.vote.dissent")
    await expect.poll(() => dissents().length, { timeout: 10_000 }).toBe(5)
    const calls = new Map(named("test/Ledger/record").map((call) => [call.spanContext().spanId, call]))
    for (const { spanContext, attributes, severityNumber } of dissents()) {
      const call = calls.get(spanContext?.spanId ?? "")
      expect(call?.status.code).toBe(0)
      expect(attributes).toMatchObject({
        "lockstep.replica": "r1",
        "lockstep.log.seq": call?.attributes["lockstep.log.seq"],
      })
      expect(attributes["lockstep.output.actual"]).not.toBe(attributes["lockstep.output.expected"])
      expect(severityNumber).toBe(SeverityNumber.WARN)
    }
  })
})

describe("replica processes", () => {
  it("export what they did, each under its name, below what the caller sent; one that was killed tells nothing twice", async () => {
    await using receiver = await Receiver.start()
    const telemetry = {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
      OTEL_BSP_SCHEDULE_DELAY: "50",
      OTEL_METRICS_EXPORTER: "none",
      OTEL_LOGS_EXPORTER: "none",
    }
    await using group = await LedgerGroup.start({}, {}, "copies", telemetry)
    await using client = await group.connect()
    const ledger = client.actor(Ledger, "key")
    const processed = () => receiver.spans.filter(({ span }) => span.name === "process cmd.main.0")
    for (let i = 0; i < 4; i++) await ledger.record(`${i}`)
    await expect.poll(() => processed().length, { timeout: 20_000 }).toBe(12)
    await group.replica(1).kill()
    await group.replica(1).start()
    await ledger.record("after")
    await expect.poll(() => processed().length, { timeout: 20_000 }).toBe(15)
    const sent = new Map(named("send cmd.main.0").map((span) => [span.spanContext().spanId, span]))
    const parents = processed().map(({ span }) => sent.get(span.parentSpanId)?.spanContext().traceId)
    expect(parents).toEqual(processed().map(({ span }) => span.traceId))
    const of = (instance: string) => processed().filter((received) => received.instance === instance).length
    expect(["r0", "r1", "r2"].map(of)).toEqual([5, 5, 5])
    expect(new Set(receiver.spans.map(({ span }) => span.spanId)).size).toBe(receiver.spans.length)
    expect([receiver.contentTypes, receiver.refused]).toEqual([new Set(["application/x-protobuf"]), []])
  })
})
