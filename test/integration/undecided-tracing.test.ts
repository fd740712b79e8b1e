import { context, SeverityNumber, SpanStatusCode, trace, TraceFlags } from "@opentelemetry/api"
import { Diverged, NoQuorum } from "lockstep"
import { describe, expect, it, vi } from "vitest"
import { inMemory } from "../telemetry/in-memory.ts"
import { LedgerGroup } from "./group.ts"
import { Ledger } from "./ledger.ts"

vi.setConfig({ testTimeout: 60_000 })
const limits = { deadlineMs: 1000 }
const { records, spans } = inMemory()

const told = () =>
  records.getFinishedLogRecords().filter(({ eventName }) => eventName === "lockstep.no_quorum")
const unseen = trace.setSpanContext(context.active(), {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  traceFlags: TraceFlags.NONE,
})

describe("a call that too few replicas answer alike", () => {
  it("is told of in its trace, with how many did; of those that nobody sampled eight are, and the rest together", async () => {
    await using group = await LedgerGroup.start()
    await using client = await group.connect({ limits })
    const ledger = client.actor(Ledger, "key")
    expect(await ledger.record("answered")).toBe(0)
    await group.replica(0).kill()
    await group.replica(1).kill()
    await expect(ledger.record("traced")).rejects.toThrow(NoQuorum)
    const call = spans().find(({ status }) => status.code === SpanStatusCode.ERROR)
    const [traced, ...others] = told()
    expect(others).toEqual([])
    expect(traced?.severityNumber).toBe(SeverityNumber.WARN)
    expect(traced?.spanContext?.spanId).toBe(call?.spanContext().spanId)
    expect(call?.name).toBe("test/Ledger/record")
    expect(traced?.attributes).toEqual({
      "lockstep.group": "main",
      "lockstep.partition": 0,
      "error.type": "NoQuorum",
      "lockstep.quorum.required": 2,
      "lockstep.votes.match": 1,
      "lockstep.votes.dissent": 0,
      "lockstep.votes.missing": 2,
      "lockstep.log.seq": 3,
    })
    records.reset()
    const calls = Array.from({ length: 10 }, (_, i) => context.with(unseen, () => ledger.record(`${i}`)))
    const ended = await Promise.allSettled(calls)
    expect(ended.map(({ status }) => status)).toEqual(Array(10).fill("rejected"))
    // in the trace of each that is told of after all, and in none for the others
    expect(told().map(({ spanContext }) => spanContext?.traceId)).toEqual([
      ...Array<string>(8).fill(trace.getSpanContext(unseen)?.traceId ?? ""),
      undefined,
    ])
  })

  it("because more are wrong than can be masked, is an error", async () => {
    await using group = await LedgerGroup.start({ r0: "value", r1: "error" })
    await using client = await group.connect({ limits })
    const ledger = client.actor(Ledger, "key")
    for (let i = 0; i < 100; i++) await ledger.record(`entry ${i}`)
    expect(told()).toEqual([])
    await expect(ledger.record("entry 100")).rejects.toThrow(Diverged)
    const [{ severityNumber, attributes } = {}, ...others] = told()
    expect(others).toEqual([])
    expect(severityNumber).toBe(SeverityNumber.ERROR)
    expect(attributes).toMatchObject({
      "error.type": "Diverged",
      "lockstep.votes.match": 1,
      "lockstep.votes.dissent": 2,
      "lockstep.votes.missing": 0,
    })
  })
})
