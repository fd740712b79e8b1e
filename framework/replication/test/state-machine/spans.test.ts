import { defineAll } from "@lockstep/actor"
import {
  ByteWriter,
  decodeVote,
  encodeVote,
  ReplicaId,
  SPAN_ID_LENGTH_MAX,
  writeReturned,
} from "@lockstep/core"
import { describe, expect, it } from "vitest"
import { byzantine, Counter, LyingCounter } from "../counter.ts"
import { value, World } from "../world.ts"

const [r0, r1, r2] = [ReplicaId("r0"), ReplicaId("r1"), ReplicaId("r2")]
const SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
const UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

/** A world whose session is open. */
function opened(): World {
  const w = new World(byzantine, [Counter])
  w.call("get", "warm")
  w.run()
  return w
}

const spansOf = (bytes: Uint8Array): unknown => {
  const { spans } = decodeVote(bytes)
  return spans && Object.fromEntries(spans)
}

function returned(result: number): Buffer {
  const writer = new ByteWriter(16)
  writeReturned(writer, result)
  return writer.take()
}

describe("a vote on commands that are traced", () => {
  it("says where its replica tells of each of them, beside what is voted on: replicas with other ids agree", () => {
    const w = opened()
    const untraced = w.call("add", "a", 1)
    w.trace = SAMPLED
    const traced = w.call("add", "a", 2)
    w.run()
    expect([untraced, traced].map(value)).toEqual([1, 3])
    const { match, dissent, missing, spans } = traced.decision ?? {}
    expect({ match, dissent, missing }).toEqual({ match: [r0, r1], dissent: [], missing: [r2] })
    expect(traced.index).toBe(1)
    expect([r0, r1].map((replica) => spans?.get(replica))).toEqual([
      new Map([[1, "r0-1"]]),
      new Map([[1, "r1-1"]]),
    ])
    expect(w.dissents).toEqual([])
    expect(w.late.at(-1)).toMatchObject({
      replica: r2,
      seq: traced.seq,
      isMatch: true,
      spans: new Map([[1, "r2-1"]]),
    })
  })

  it("says so as well where it comes late, and differs", () => {
    const w = opened()
    w.restart(r2, defineAll([LyingCounter]))
    w.run()
    w.trace = SAMPLED
    const call = w.call("add", "a", 1)
    w.run()
    expect(w.late.at(-1)).toMatchObject({ replica: r2, seq: call.seq, isMatch: false })
    expect(w.late.at(-1)?.spans?.size).toBe(1)
    expect(w.dissents.map(({ replica, seq }) => [replica, seq])).toEqual([[r2, call.seq]])
  })

  it("differs in the outcomes of some commands, as far as its bytes say so", () => {
    const w = opened()
    w.restart(r1, defineAll([LyingCounter]))
    w.run()
    for (const member of ["add", "none", "add"]) w.call(member, "a", 1)
    w.run()
    for (const outcomes of [undefined, Buffer.from([0]), returned(7)]) {
      w.call("add", "a", 1)
      w.flush()
      w.append()
      w.toClient.length = 0
      for (const name of w.names) w.read(name)
      for (const [i, { from, bytes }] of w.toClient.entries()) {
        const { replica, statement } = decodeVote(bytes)
        const [other = bytes] = encodeVote(replica, Buffer.from(statement, "latin1"), outcomes)
        if (from === r1) w.toClient[i] = { from, bytes: other }
      }
      while (w.toClient.length > 0) w.vote()
    }
    expect(w.dissents.map(({ replica, differing }) => [replica, differing()])).toEqual([
      [r1, [0, 2]],
      // its bytes do not come, are nonsense, or are others than it votes for
      ...Array.from({ length: 3 }, () => [r1, []]),
    ])
  })

  it("says so again when it is asked for", () => {
    const w = opened()
    w.trace = SAMPLED
    const call = w.call("add", "a", 1)
    w.flush()
    w.append()
    for (const name of w.names) w.read(name)
    w.toClient.length = 0 // all of them are lost
    w.tick(200)
    w.run()
    expect(value(call)).toBe(1)
    expect(call.decision?.spans.get(r0)).toEqual(new Map([[0, "r0-1"]]))
  })

  it.each([undefined, UNSAMPLED])("has not a byte more where nobody wants to see them: %s", (trace) => {
    const w = opened()
    w.trace = trace
    w.call("add", "a", 1)
    w.flush()
    w.append()
    w.read(r0)
    const [message] = w.toClient
    expect(message && spansOf(message.bytes)).toBeUndefined()
    expect(message?.bytes[0]).toBe(0x56)
  })

  it("counts whatever it names: commands that there are not, or ids that are none", () => {
    const w = opened()
    w.trace = SAMPLED
    const call = w.call("add", "a", 1)
    w.flush()
    w.append()
    for (const name of w.names) w.read(name)
    const nonsense = new Map([
      [0, "\0".repeat(SPAN_ID_LENGTH_MAX)],
      [7_000_000, "x"],
    ])
    for (const [i, { from, bytes }] of w.toClient.entries()) {
      const vote = decodeVote(bytes)
      const [forged = bytes] = encodeVote(
        vote.replica,
        Buffer.from(vote.statement, "latin1"),
        vote.bytes,
        nonsense,
      )
      w.toClient[i] = { from, bytes: forged }
    }
    w.run()
    expect(value(call)).toBe(1)
    expect(call.decision?.spans.get(r0)).toEqual(nonsense)
    expect(w.client.counts.strangers).toBe(0)
  })
})
