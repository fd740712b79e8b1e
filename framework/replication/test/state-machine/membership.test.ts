import {
  decodeStatement,
  decodeVote,
  encodeReconfiguration,
  encodeStatement,
  encodeVote,
  Epoch,
  OPERATOR,
  ReplicaId,
  type Roster,
} from "@lockstep/core"
import { describe, expect, it } from "vitest"
import { byzantine, Counter } from "../counter.ts"
import { value, World } from "../world.ts"

const [r0, r1, r2, r3] = ["r0", "r1", "r2", "r3"].map(ReplicaId) as [
  ReplicaId,
  ReplicaId,
  ReplicaId,
  ReplicaId,
] // four names
const second = roster(2, [r0, r1, r3], [])

function roster(epoch: number, voters: ReadonlyArray<ReplicaId>, standbys: ReadonlyArray<ReplicaId>): Roster {
  return { epoch: Epoch(epoch), voters, standbys }
}

/** Three voters, and a fourth replica that no roster names; all have executed one command. */
function world(): World {
  const w = new World(byzantine, [Counter])
  w.restart(r3)
  w.call("add", "a", 1)
  w.run([r0, r1, r2, r3])
  return w
}

/** An operator states a roster, and these replicas read it. */
function state(w: World, next: Roster, readers: ReadonlyArray<ReplicaId> = [r0, r1, r2, r3]): void {
  w.put(encodeReconfiguration(next))
  for (const reader of readers) w.read(reader)
}

/** The client learns of a roster. */
function tell(w: World, next: Roster): void {
  w.toldClient(w.client.step({ _tag: "Roster", roster: next, nowMs: w.nowMs }))
}

/** Who has votes under way to the client, and in which epochs. */
function votes(w: World): ReadonlyArray<string> {
  return w.toClient.map(
    ({ from, bytes }) => `${from} in ${decodeStatement(decodeVote(bytes).statement).epoch}`,
  )
}

/** A vote in another's name, in another epoch. */
function claimed(bytes: Uint8Array, replica: ReplicaId, epoch: number): Uint8Array {
  const vote = decodeVote(bytes)
  const statement = encodeStatement({ ...decodeStatement(vote.statement), epoch: Epoch(epoch) })
  const [message] = encodeVote(replica, statement, vote.bytes)
  if (message === undefined) throw new Error("a vote is a message")
  return message
}

describe("a replica that follows a change of roster", () => {
  it("executes without a vote while no roster names it, and votes from the entry on that does", () => {
    const w = world()
    expect(w.replica(r3).status).toMatchObject({ role: "unlisted", executed: 1, roster: { epoch: 1 } })
    state(w, second)
    expect(w.replica(r3).status).toMatchObject({ role: "voter", roster: second })
    expect(w.replica(r2).status).toMatchObject({ role: "unlisted", roster: second })
    w.call("add", "a", 1)
    w.flush()
    w.append()
    for (const name of [r0, r2, r3]) w.read(name)
    expect(votes(w)).toEqual(["r0 in 2", "r3 in 2"])
  })

  it("tells the shell, once, what it is now", () => {
    const w = world()
    w.put(encodeReconfiguration(roster(2, [r0, r1], [r3])))
    const entries = w.log.slice(-1)
    expect(w.replica(r3).step({ _tag: "Entries", entries })).toEqual([
      { _tag: "Membership", roster: roster(2, [r0, r1], [r3]), role: "standby" },
    ])
  })

  it("repeats an answer of an earlier epoch in the current one", () => {
    const w = world()
    w.call("add", "a", 1)
    w.flush()
    w.append()
    w.read(r0)
    expect(votes(w)).toEqual(["r0 in 1"])
    state(w, second)
    w.toClient.length = 0
    w.tick(100)
    while (w.toReplica.length > 0) w.ask()
    expect(votes(w)).toContain("r0 in 2")
    expect(votes(w)).not.toContain("r2 in 2")
  })

  it("ignores what is no next roster: of anybody else, of an epoch that is taken, of too few", () => {
    const w = world()
    w.put(encodeReconfiguration(second), "replica.r0")
    w.put(encodeReconfiguration(second), "client.operator")
    w.put(encodeReconfiguration(roster(2, [r0], [])))
    w.put(encodeReconfiguration(second), OPERATOR)
    w.put(encodeReconfiguration(roster(2, [r1, r2], [])), OPERATOR)
    w.read(r0)
    expect(w.replica(r0).status).toMatchObject({ roster: second, malformed: 4 })
  })

  it("is not halted by those who have no vote any more", () => {
    const w = world()
    const lie = (from: ReplicaId): void => {
      const [told] = w.replica(from).step({ _tag: "Tick", nowMs: 1 })
      if (told?._tag !== "Tell") throw new Error(`${from} told nothing`)
      const bytes = Buffer.from(told.bytes)
      bytes.fill("0", bytes.length - 64)
      w.toldReplica(r0, w.replica(r0).step({ _tag: "Peer", from, bytes }))
    }
    lie(r2)
    state(w, second)
    lie(r1)
    lie(r2)
    expect(w.halts).toEqual([])
    lie(r3)
    expect(w.halts.map(({ report }) => report.reason)).toEqual(["log-forked"])
  })
})

describe("a client that follows a change of roster", () => {
  it("is answered by the new voters, where it waited for the old ones", () => {
    const w = world()
    state(w, second)
    const call = w.call("add", "a", 1)
    w.run([r0, r1, r2, r3])
    expect(call.settled).toBe(0)
    expect(w.refreshes).toBe(1)
    tell(w, second)
    w.run([r0, r3])
    expect(value(call)).toBe(2)
  })

  it("never adds a vote of one epoch to one of another", () => {
    const w = world()
    const call = w.call("add", "a", 1)
    w.flush()
    w.append()
    w.read(r0)
    w.vote()
    state(w, second)
    tell(w, second)
    expect(call.settled).toBe(0)
    w.toClient.length = 0
    while (w.toReplica.length > 0) w.ask()
    const again = w.toClient.find(({ from }) => from === r3)
    if (again === undefined) throw new Error("r3 was asked")
    const step = (from: ReplicaId, bytes: Uint8Array) =>
      w.toldClient(w.client.step({ _tag: "Vote", from, bytes, nowMs: w.nowMs }))
    // of one who was removed, in the epoch in which it voted, and in the one in which it does not; of a voter, in the old one
    step(r2, claimed(again.bytes, r2, 1))
    step(r2, claimed(again.bytes, r2, 2))
    step(r1, claimed(again.bytes, r1, 1))
    step(r3, again.bytes)
    expect(call.settled).toBe(0)
    step(r1, claimed(again.bytes, r1, 2))
    expect(value(call)).toBe(2)
  })

  it("does not believe those who vote in an epoch that it does not know, however many they are", () => {
    const w = world()
    const call = w.call("add", "a", 1)
    w.flush()
    w.append()
    w.read(r0)
    const [vote] = w.toClient.splice(0)
    if (vote === undefined) throw new Error("r0 voted")
    for (const name of [r0, r1, r2]) {
      const bytes = claimed(vote.bytes, name, 99)
      w.toldClient(w.client.step({ _tag: "Vote", from: name, bytes, nowMs: w.nowMs }))
    }
    expect(call.settled).toBe(0)
    expect(w.refreshes).toBe(1)
  })

  it("asks for the roster less and less often while there is no news, and at once after there was", () => {
    const w = world()
    state(w, second)
    w.call("add", "a", 1)
    w.run([])
    w.read(r0)
    const [vote] = w.toClient.splice(0)
    if (vote === undefined) throw new Error("r0 voted")
    const refreshes: Array<number> = []
    for (let ms = 0; ms < 10_000; ms += 20) {
      w.nowMs += 20
      const before = w.refreshes
      w.toldClient(w.client.step({ _tag: "Vote", from: r0, bytes: vote.bytes, nowMs: w.nowMs }))
      if (w.refreshes > before) refreshes.push(w.nowMs)
    }
    expect(refreshes.length).toBeLessThan(12)
    const gaps = refreshes.slice(1).map((at, i) => at - (refreshes[i] ?? 0))
    expect(gaps).toEqual(gaps.toSorted((a, b) => a - b))
    tell(w, second)
    const before = w.refreshes
    const later = claimed(vote.bytes, r0, 3)
    w.toldClient(w.client.step({ _tag: "Vote", from: r0, bytes: later, nowMs: w.nowMs }))
    expect(w.refreshes).toBe(before + 1)
  })

  it("looks for another roster when nobody answers it", () => {
    const w = world()
    const call = w.call("add", "a", 1)
    w.run([])
    for (let i = 0; i < 100; i++) w.tick(20)
    expect(call.settled).toBe(0)
    expect(w.refreshes).toBeGreaterThan(0)
  })

  it("keeps to the roster that it has where an older one is read", () => {
    const w = world()
    state(w, second)
    tell(w, second)
    tell(w, roster(1, [r0, r1, r2], []))
    const call = w.call("add", "a", 1)
    w.run([r0, r3])
    expect(value(call)).toBe(2)
  })
})
