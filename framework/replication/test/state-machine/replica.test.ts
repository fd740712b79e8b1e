import { type ActorContext, Command, Replicated } from "@lockstep/actor"
import {
  BatchWriter,
  ClientId,
  decodeStatement,
  decodeVote,
  encodeShared,
  encodeAsk,
  encodeOpening,
  type Entry,
  ReplicaId,
  SessionId,
} from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { byzantine, Counter } from "../counter.ts"
import { type TestCall, value, World } from "../world.ts"

const r0 = ReplicaId("r0")
const client = ClientId("someone")

function world(): World {
  return new World(byzantine, [Counter])
}

/** A batch of one `add(1)` of actor "a" in the session that entry 1 opened. */
function add(number: number, settledBelow = 0): Uint8Array {
  const writer = new BatchWriter()
  writer.add("Counter", "add", "a", encodeShared([1]), undefined)
  return writer.seal({ client, session: SessionId(1), number, settledBelow })
}

const NO_ARGUMENTS = encodeShared([])

function opened(): World {
  const w = world()
  w.put(encodeOpening({ client, number: 0 }))
  w.read(r0)
  w.toClient.length = 0
  return w
}

function entry(seq: number, payload: Uint8Array = Buffer.from("?")): Entry {
  return { seq, timeNs: BigInt(seq), source: `client.${client}`, payload }
}

describe("a replica of the state machine mode", () => {
  it("is in the same state whatever pieces the log comes in", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 20 }), (pieces) => {
        const w = world()
        for (let i = 0; i < 20; i++) w.call("add", `k${i % 3}`, i)
        w.run()
        w.restart(r0)
        for (const piece of pieces) w.read(r0, piece)
        w.read(r0)
        const [a, b] = [w.replica(r0).status, w.replica(ReplicaId("r1")).status]
        expect(a.stateDigest()).toBe(b.stateDigest())
        expect(a.chain).toBe(b.chain)
      }),
    )
  })

  it("answers a repeated batch with its first vote, and executes it once", () => {
    const w = opened()
    w.put(add(1))
    w.put(add(1))
    w.read(r0)
    const [first, second] = w.toClient.map(({ bytes }) => decodeVote(bytes))
    expect(second?.statement).toBe(first?.statement)
    expect(decodeStatement(first?.statement ?? "").seq).toBe(2)
    expect(w.replica(r0).status.executed).toBe(1)
  })

  it("says nothing to a repeated batch that its client settled", () => {
    const w = opened()
    w.put(add(1))
    w.put(add(2, 2))
    w.read(r0)
    w.toClient.length = 0
    w.put(add(1))
    w.read(r0)
    expect(w.toClient).toHaveLength(0)
    expect(w.replica(r0).status.executed).toBe(2)
  })

  it("refuses a batch of a session that another client opened", () => {
    const w = opened()
    const writer = new BatchWriter()
    writer.add("Counter", "add", "a", encodeShared([1]), undefined)
    w.put(writer.seal({ client: ClientId("mallory"), session: SessionId(1), number: 1, settledBelow: 0 }))
    w.read(r0)
    expect(w.replica(r0).status.executed).toBe(0)
  })

  it("does not vote on what was in the log before it started, and votes on all that follows", () => {
    const w = world()
    w.call("add", "a", 1)
    w.run()
    w.restart(r0)
    w.read(r0)
    expect(w.toClient).toHaveLength(0)
    expect(w.replica(r0).status.caughtUp).toBe(true)
    w.call("add", "a", 1)
    w.flush()
    w.append()
    w.read(r0)
    expect(w.toClient).toHaveLength(1)
  })

  it("repeats its vote for the client that asks, and for nobody else", () => {
    const w = opened()
    w.put(add(1))
    w.read(r0)
    const [vote] = w.toClient.splice(0)
    const ask = (from: ClientId): void =>
      w.toldReplica(
        r0,
        w.replica(r0).step({
          _tag: "Message",
          bytes: encodeAsk({ client: from, session: SessionId(1), number: 1 }),
        }),
      )
    ask(ClientId("mallory"))
    expect(w.toClient).toHaveLength(0)
    ask(client)
    expect(w.toClient).toEqual([vote])
  })

  it("stays up, and counts, when entries and questions are garbage", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 20 }), (garbage) => {
        const w = opened()
        for (const bytes of garbage) w.put(bytes)
        w.read(r0)
        for (const bytes of garbage) w.replica(r0).step({ _tag: "Message", bytes })
        w.put(add(1))
        w.read(r0)
        expect(w.replica(r0).status.executed).toBe(1)
        expect(w.halts).toHaveLength(0)
      }),
    )
  })

  it("answers a batch that names a hundred thousand methods which nobody has, within bounds", () => {
    const w = opened()
    const writer = new BatchWriter()
    for (let i = 0; i < 100_000; i++) writer.add("Nobody", "x".repeat(120), "a", NO_ARGUMENTS, undefined)
    w.put(writer.seal({ client, session: SessionId(1), number: 1, settledBelow: 0 }))
    w.read(r0)
    const asked = encodeAsk({ client, session: SessionId(1), number: 1 })
    w.toldReplica(r0, w.replica(r0).step({ _tag: "Message", bytes: asked }))
    const bytes = w.toClient.reduce((sum, message) => sum + message.bytes.length, 0)
    expect(bytes).toBeGreaterThan(1_000_000)
    expect(bytes).toBeLessThan(20_000_000)
  })

  it("ignores what is written in another client's name", () => {
    const w = opened()
    w.put(add(1), "client.mallory")
    w.read(r0)
    expect(w.replica(r0).status).toMatchObject({ executed: 0, malformed: 1 })
    w.put(add(1))
    w.read(r0)
    expect(w.replica(r0).status.executed).toBe(1)
  })

  it("ignores a batch with a name that no class can have", () => {
    const w = opened()
    const writer = new BatchWriter()
    writer.add("Counter", "x".repeat(129), "a", NO_ARGUMENTS, undefined)
    w.put(writer.seal({ client, session: SessionId(1), number: 1, settledBelow: 0 }))
    w.read(r0)
    expect(w.replica(r0).status.malformed).toBe(1)
  })

  it("complains of a gap in the log, once a server has said three times that it holds what it does not deliver, and halts where another one does so, too", () => {
    const w = world()
    w.call("add", "a", 1)
    w.run()
    const { applied } = w.replica(r0).status
    const steps = [1, 2, 3, 4, 5, 6].map(() => {
      const replica = w.replica(r0)
      const last = w.log.at(-1)
      if (last === undefined) throw new Error("the log holds entries")
      replica.step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: applied + 2, nowMs: 0 })
      replica.step({ _tag: "Entries", entries: [last] })
      return replica.step({ _tag: "Entries", entries: [{ ...last, seq: applied + 2 }] })
    })
    const again = { _tag: "Reattach" }
    const complaint = { ...again, complaint: { reason: "log-gap" } }
    expect(steps.flat()).toMatchObject([again, again, complaint, again, again, { _tag: "Halt" }])
    expect(steps.flat().filter((output) => "complaint" in output)).toHaveLength(1)
    expect(w.replica(r0).status.halted?.reason).toBe("log-gap")
  })

  it("that the log's truncation has overtaken asks its peers, and does not take that for a gap", () => {
    const w = world()
    w.call("add", "a", 1)
    w.run()
    const replica = byzantine.replica({
      ...w.membership(),
      replica: r0,
      definitions: new Map(),
      determinism: "guarded",
      checkpointEveryBatches: 1,
    })
    replica.step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 9, nowMs: 0 })
    const [first] = w.log
    if (first === undefined) throw new Error("the log holds entries")
    expect(replica.step({ _tag: "Entries", entries: [{ ...first, seq: 5 }] })).toEqual([{ _tag: "Reattach" }])
    replica.step({ _tag: "Attached", logId: "log", firstSeq: 5, lastSeq: 9, nowMs: 0 })
    expect(replica.status).toMatchObject({ halted: undefined, from: 5, caughtUp: false })
  })

  it("complains when the log goes back", () => {
    const w = world()
    w.toldReplica(r0, w.replica(r0).step({ _tag: "Entries", entries: [entry(1), entry(2), entry(1)] }))
    expect(w.halts.map((halt) => halt.report.reason)).toEqual(["log-regression"])
  })

  it("halts when the log was deleted and made again", () => {
    const w = world()
    const attached = { _tag: "Attached", logId: "another", firstSeq: 1, lastSeq: 9, nowMs: 0 } as const
    w.toldReplica(r0, w.replica(r0).step(attached))
    expect(w.halts.map((halt) => halt.report.reason)).toEqual(["log-recreated"])
  })

  it("halts when the log begins after what it executed", () => {
    const w = opened()
    const attached = { _tag: "Attached", logId: "log", firstSeq: 5, lastSeq: 9, nowMs: 0 } as const
    w.toldReplica(r0, w.replica(r0).step(attached))
    expect(w.halts.map((halt) => halt.report.reason)).toEqual(["log-gap"])
  })

  it("reads its last entry again after each attachment, and goes on when it is unchanged", () => {
    const w = opened()
    w.put(add(1))
    w.read(r0)
    const again = w.log[1]
    if (again === undefined) throw new Error("the log holds two entries")
    expect(w.replica(r0).status.from).toBe(2)
    w.replica(r0).step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 2, nowMs: 0 })
    w.replica(r0).step({ _tag: "Entries", entries: [again, { ...entry(3), payload: add(2) }] })
    expect(w.replica(r0).status.executed).toBe(2)
  })

  it("complains when its last entry has changed", () => {
    const w = opened()
    w.replica(r0).step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 1, nowMs: 0 })
    w.toldReplica(r0, w.replica(r0).step({ _tag: "Entries", entries: [entry(1)] }))
    expect(w.halts.map((halt) => halt.report.reason)).toEqual(["log-rewritten"])
  })

  it("complains when its last entry never comes again, and halts where another server has lost it too", () => {
    const w = opened()
    w.replica(r0).step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 0, nowMs: 0 })
    const reattached = []
    for (let nowMs = 0; nowMs <= 20_000; nowMs += 500) {
      const outputs = w.replica(r0).step({ _tag: "Tick", nowMs })
      w.toldReplica(r0, outputs)
      if (outputs.some((output) => output._tag === "Reattach")) {
        reattached.push(nowMs)
        w.replica(r0).step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 0, nowMs })
      }
    }
    expect(reattached).toHaveLength(5)
    expect(w.halts.map(({ does }) => does)).toEqual(["Reattach", "Halt"])
    expect(w.halts.map(({ report }) => report.reason)).toEqual(["log-lost-tail", "log-lost-tail"])
  })

  it("does not take a log that is away for a minute for one that lost its tail", () => {
    const w = opened()
    w.replica(r0).step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 1, nowMs: 0 })
    for (let nowMs = 0; nowMs <= 60_000; nowMs += 500)
      w.toldReplica(r0, w.replica(r0).step({ _tag: "Tick", nowMs }))
    expect(w.halts).toEqual([])
    w.replica(r0).step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 1, nowMs: 60_000 })
    w.put(add(1))
    w.toldReplica(r0, w.replica(r0).step({ _tag: "Entries", entries: w.log.slice(0, 2) }))
    expect(w.replica(r0).status.executed).toBe(1)
  })

  it("gives commands a time that never goes back, and randomness of their own, equal on all replicas", () => {
    const w = new World(byzantine, [Clock])
    const calls: Array<TestCall> = []
    for (const ms of [50n, 10n, 10n, 60n]) {
      calls.push(w.call("read", "a"))
      w.flush()
      while (w.toLog.length > 0) w.append()
      const last = w.log.pop()
      if (last !== undefined) w.log.push({ ...last, timeNs: ms * 1_000_000n })
      w.run()
    }
    const read = calls.map((call) => value(call) as { now: number; random: number })
    expect(read.map(({ now }) => now)).toEqual([50, 50, 50, 60])
    expect(new Set(read.map(({ random }) => random)).size).toBe(4)
    expect(w.dissents).toHaveLength(0)
  })
})

@Replicated({ name: "Clock", version: 1, mode: byzantine })
class Clock {
  @Command()
  read(context: ActorContext): { now: number; random: number } {
    return { now: context.now, random: context.random() }
  }
}
