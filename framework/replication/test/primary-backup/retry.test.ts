import {
  BatchWriter,
  ByteWriter,
  ClientId,
  decodeVote,
  encode,
  encodeOpening,
  encodeShared,
  encodeVote,
  ReplicaId,
  SESSION_LIMITS,
  SessionId,
  writeReturned,
} from "@lockstep/core"
import { primaryBackup } from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { decodeReply, encodeQuestion, encodeReply } from "../../src/primary-backup/request.ts"
import { Group } from "./group.ts"

const UNKNOWN = { _tag: "OutcomeUnknown", tookEffect: "unknown" }
const returned = (value: unknown) => ({ outcome: { _tag: "Returned", value } })

/** A command that the first primary executed, and then died; the second one has no record of it. */
function lostOnce() {
  const group = new Group(primaryBackup({ replication: "synchronous", inSyncMin: 2 }))
  group.advance(1000)
  group.call("add", [1])
  const primary = group.master ?? ReplicaId("none")
  const backups = group.names.filter((name) => name !== primary)
  group.partition([
    [primary, "c"],
    [...backups, "log"],
  ])
  const lost = group.call("add", [10])
  group.advance(3000)
  group.stop(primary)
  group.partition([])
  group.advance(2000)
  const second = group.master ?? ReplicaId("none")
  const third = backups.find((name) => name !== second) ?? ReplicaId("none")
  return { group, primary, lost, second, third }
}

describe("a command that may have been executed by a primary that is gone, and is sent again", () => {
  it("is undecided where the next primary refuses it, until one executes it", () => {
    const { group, primary, lost, third } = lostOnce()
    expect(lost.error).toMatchObject(UNKNOWN)
    group.stop(third)
    group.advance(1000)
    const refused = group.retry(lost.error)
    group.advance(500)
    expect(refused.error).toMatchObject(UNKNOWN)
    expect(group.call("add", [100]).error).toMatchObject({ _tag: "NotEnoughReplicas", tookEffect: "no" })
    const { master } = group
    group.start(third)
    group.start(primary)
    group.advance(3000)
    expect(group.master).toBe(master)
    const again = group.retry(refused.error)
    group.advance(500)
    expect(again).toEqual(returned(11))
  })

  it("is undecided where nobody takes it before the deadline", () => {
    const { group, lost, second, third } = lostOnce()
    for (const name of [second, third]) group.stop(name)
    const late = group.retry(lost.error)
    group.advance(60_000)
    expect(late.error).toMatchObject(UNKNOWN)
  })

  it("is undecided where the client is closed", () => {
    const { group, lost, second, third } = lostOnce()
    for (const name of [second, third]) group.stop(name)
    const closed = group.retry(lost.error)
    group.close()
    expect(closed.error).toMatchObject(UNKNOWN)
  })
})

describe("a command that reaches a primary which was restarted", () => {
  it("was not executed there, and is executed by the next one", () => {
    const group = new Group(primaryBackup({ replication: "synchronous" }))
    group.advance(1000)
    group.call("add", [1])
    const primary = group.master ?? ReplicaId("none")
    group.stop(primary)
    group.start(primary)
    const call = group.call("add", [10])
    group.advance(3000)
    expect(call).toEqual(returned(11))
  })
})

describe("an answer", () => {
  it("to an attempt that another one has taken the place of is not believed: what it says may be lost", () => {
    const { group, lost, second, third } = lostOnce()
    group.cut.add(third)
    const again = group.retry(lost.error)
    const epoch = group.replicas.get(second)?.status.reign?.epoch ?? 0
    const writer = new ByteWriter(16)
    writeReturned(writer, encode(99))
    const outcomes = writer.take()
    for (let number = 0; number < 5; number++) {
      const about = { session: 1, number, count: 1, position: 3, epoch: epoch - 1 } as const
      const reply = encodeReply({ _tag: "Answered", ...about })
      for (const bytes of encodeVote(second, reply, outcomes)) group.hear(second, bytes)
    }
    expect(again).toEqual({})
    group.cut.delete(third)
    group.advance(3000)
    expect(again).toEqual(returned(11))
  })
})

describe("a refusal", () => {
  it("that comes late, from another epoch than the command was sent in, says nothing of it", () => {
    const { group, second, third } = lostOnce()
    group.cut.add(third)
    const call = group.call("add", [1])
    const epoch = group.replicas.get(second)?.status.reign?.epoch ?? 0
    // of this client's commands and openings, whatever their numbers
    for (let number = 0; number < 5; number++) {
      const about = { reason: "Overloaded", detail: "", number, epoch: epoch - 1 } as const
      const reply = encodeReply({ _tag: "Refused", ...about })
      for (const bytes of encodeVote(second, reply, Buffer.alloc(0))) group.hear(second, bytes)
    }
    expect(call).toEqual({})
  })
})

describe("a caller that asks twice for one outcome", () => {
  it("is told the first time that nobody knows, and gets the answer the second time", () => {
    const { group, lost } = lostOnce()
    expect(lost.error).toMatchObject(UNKNOWN)
    group.cut.add("c")
    const [first, second] = [group.retry(lost.error), group.retry(lost.error)]
    expect(first.error).toMatchObject(UNKNOWN)
    group.cut.clear()
    group.advance(3000)
    expect(second).toEqual(returned(11))
  })
})

describe("a command that was executed, and its answer lost", () => {
  it("is not said to be refused by a primary that has forgotten its session", () => {
    const sessionLimits = { ...SESSION_LIMITS, sessionsMax: 1 }
    const group = new Group(primaryBackup({ replication: "semi-synchronous", acknowledgements: 2 }), {
      sessionLimits,
    })
    group.advance(1000)
    const primary = group.master ?? ReplicaId("none")
    const ask = (client: ClientId, envelope: Uint8Array) => {
      const bytes = encodeQuestion({ _tag: "Execute", client, epoch: 1, copy: 0, envelope })
      group.tell(primary, { _tag: "Message", bytes })
      return decodeReply(Buffer.from(decodeVote(group.sent.at(-1) ?? Buffer.of()).statement, "latin1"))
    }
    const [first, second] = [ClientId("first"), ClientId("second")]
    const opened = ask(first, encodeOpening({ client: first, number: 0 }))
    const session = SessionId(opened._tag === "Answered" ? opened.session : 0)
    const writer = new BatchWriter()
    writer.add("Counter", "add", "a", encodeShared([1]), undefined)
    const batch = writer.seal({ client: first, session, number: 1, settledBelow: 0 })
    expect(ask(first, batch)).toMatchObject({ _tag: "Answered", number: 1 })
    ask(second, encodeOpening({ client: second, number: 0 }))
    // nor can it write any more, or know whether it is still the primary
    group.partition([[primary, "c"], group.names.filter((name) => name !== primary)])
    group.advance(3000)
    const sent = group.sent.length
    expect(ask(first, batch)).toMatchObject({ _tag: "Answered", number: 1 })
    expect(group.sent.length).toBeGreaterThan(sent)
  })
})
