import { encodeReconfiguration, Epoch, OPERATOR, OutcomeUnknown, ReplicaId } from "@lockstep/core"
import { primaryBackup, type PrimaryBackupOptions } from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { decodeMessage, encodePlea } from "../../src/primary-backup/message.ts"
import { decodeQuestion } from "../../src/primary-backup/request.ts"
import { decodeSnapshot } from "../../src/primary-backup/snapshot.ts"
import { Disk } from "./disk.ts"
import { Group } from "./group.ts"

const NEVER = 1_000_000
const SYNCHRONOUS = { replication: "synchronous" } as const
const SEMI_SYNCHRONOUS = { replication: "semi-synchronous", acknowledgements: 1 } as const

function begun(options: PrimaryBackupOptions) {
  const group = new Group(primaryBackup(options), { checkpointEveryBatches: NEVER })
  group.advance(1000)
  expect(reignOf(group)?.inSync).toHaveLength(3)
  const primary = group.master ?? ReplicaId("none")
  const [first = primary, second = primary] = group.names.filter((name) => name !== primary)
  return { group, primary, first, second }
}

function add(group: Group, times: number): void {
  for (let i = 0; i < times; i++) group.call("add", [1])
}

function reignOf(group: Group) {
  return group.replicas.get(group.master ?? ReplicaId("none"))?.status.reign
}

const returned = (value: unknown) => ({ outcome: { _tag: "Returned", value } })
const positionsOf = (group: Group, name: ReplicaId) =>
  group.journals.get(name)?.map(({ position }) => position)

function hasRecords(bytes: Uint8Array): boolean {
  const message = decodeMessage(bytes)
  return message?._tag === "Ship" && message.records.length > 0
}

/** Until another one is the primary. */
function succeed(group: Group, primary: ReplicaId): void {
  for (let waited = 0; waited < 4000 && group.master === primary; waited += 50) group.advance(50)
  expect(group.master).not.toBe(primary)
}

/** How far the newest checkpoint of this replica has read the log. */
function logRead(group: Group, name: ReplicaId): number {
  const { header } = group.disks.get(name)?.newest ?? {}
  return header === undefined ? 0 : decodeSnapshot(header).log.seq
}

describe("an acknowledged write", () => {
  it("is not lost with the power of a bidder that had it, and more, in memory only", () => {
    const { group, primary, first, second } = begun(SEMI_SYNCHRONOUS)
    add(group, 2)
    group.advance(500)
    // on the disks of the primary and of the second
    group.stuck.add(first)
    expect(group.call("add", [1])).toEqual(returned(3))
    // nobody but the first has this one, and not on its disk
    group.isLost = (to, bytes) => to === second && hasRecords(bytes)
    expect(group.call("add", [1])).toEqual({})
    group.stop(primary)
    group.isLost = () => false
    group.late = []
    group.advance(2500)
    group.stop(first)
    group.stuck.clear()
    group.arrive()
    for (const name of [first, primary]) group.start(name)
    group.advance(8000)
    expect([returned(3), returned(4)]).toContainEqual(group.call("get", []))
  })

  it.each([["dead before its offer is read"], ["dead right after that"]])(
    "is not lost with the disk of whoever is elected, %s: the primary before holds it",
    (when) => {
      const { group, primary, first, second } = begun(SEMI_SYNCHRONOUS)
      group.isLost = (to, bytes) => to === second && hasRecords(bytes)
      // the primary and the first hold it
      expect(group.call("add", [1])).toEqual(returned(1))
      group.stop(primary)
      if (when === "dead before its offer is read") {
        group.late = []
        group.advance(2500)
        group.stop(first)
        group.arrive()
      } else {
        succeed(group, primary)
        group.stop(first)
      }
      expect(group.master).toBe(first)
      group.journals.delete(first)
      group.isLost = () => false
      for (const name of [first, primary]) group.start(name)
      group.advance(20_000)
      expect(group.call("get", [])).toEqual(returned(1))
    },
  )

  it.each([["dead before its offer is read"], ["dead right after that"]])(
    "is not lost with the disk of whoever is elected after all lost power, %s: the others hold it",
    (when) => {
      const { group, primary, first, second } = begun(SYNCHRONOUS)
      expect(group.call("add", [1])).toEqual(returned(1))
      // one more, which only the first has on its disk
      group.stuck.add(primary)
      group.isLost = (to, bytes) => to === second && hasRecords(bytes)
      expect(group.call("add", [1])).toEqual({})
      for (const name of group.names) group.stop(name)
      group.stuck.clear()
      group.isLost = () => false
      expect(positionsOf(group, first)).toHaveLength(3)
      if (when === "dead before its offer is read") group.late = []
      for (const name of group.names) group.start(name)
      group.cut.add("c")
      if (group.late === undefined) succeed(group, primary)
      else group.advance(1500)
      group.stop(first)
      group.arrive()
      expect(group.master).toBe(first)
      group.journals.delete(first)
      group.start(first)
      group.advance(20_000)
      group.cut.delete("c")
      const call = group.call("get", [])
      group.advance(3000)
      expect([returned(1), returned(2)]).toContainEqual(call)
    },
  )

  it("is on as many disks as ever, although an operator has let a replica go while the lease was over", () => {
    const { group, primary, first, second } = begun(SEMI_SYNCHRONOUS)
    add(group, 1)
    group.advance(300)
    group.stuck.add(primary) // and so it renews nothing
    group.stop(first)
    group.cut.add(second)
    const call = group.call("add", [1])
    group.advance(2500)
    const voters = [primary, second]
    group.append(OPERATOR, encodeReconfiguration({ epoch: Epoch(2), voters, standbys: [] }))
    group.run()
    group.unstick(primary)
    // nobody else has it
    expect(call).toEqual({})
  })

  it("is not thrown away with a journal, because the log is shorter than the checkpoint below it", () => {
    const { group, primary, first, second } = begun(SEMI_SYNCHRONOUS)
    add(group, 2)
    group.stop(second)
    group.advance(1500)
    expect(reignOf(group)?.inSync.toSorted()).toEqual([primary, first].toSorted())
    // a renewal that lets the log go is under way
    group.late = []
    const plea = encodePlea({ firstSeq: group.entries.length })
    for (const name of [primary, first]) group.tell(name, { _tag: "Peer", from: second, bytes: plea })
    group.advance(300)
    const disk = new Disk()
    disk.isFull = true // it has taken no checkpoint yet
    group.disks.set(second, disk)
    group.start(second)
    group.advance(200)
    group.arrive()
    group.advance(50)
    expect(logRead(group, primary)).toBeGreaterThan(0)
    expect(reignOf(group)?.inSync).not.toContain(second)
  })
})

describe("a group whose only in-sync replica was removed while it was down", () => {
  it("has all that it had once that one is back", () => {
    const { group, primary, first, second } = begun(SYNCHRONOUS)
    add(group, 2)
    for (const name of [first, second]) group.stop(name)
    group.advance(1500)
    add(group, 1)
    expect(reignOf(group)?.inSync).toEqual([primary])
    group.stop(primary)
    group.advance(3000)
    for (const name of [first, second]) group.start(name)
    group.advance(3000)
    const without = { epoch: Epoch(2), voters: [first, second], standbys: [] }
    group.append(OPERATOR, encodeReconfiguration(without))
    group.advance(3000)
    group.start(primary)
    const again = { epoch: Epoch(3), voters: [primary, first, second], standbys: [] }
    group.append(OPERATOR, encodeReconfiguration(again))
    group.advance(20_000)
    const call = group.call("get", [])
    group.advance(2000)
    expect(call).toEqual(returned(3))
  })
})

describe("a replica that is sure that it has not executed a batch", () => {
  it("says nothing of what an earlier primary may have done, whom nobody asks any more", () => {
    const { group, primary, first, second } = begun(SYNCHRONOUS)
    add(group, 2)
    group.advance(500)
    group.partition([
      [primary, "c"],
      [first, second, "log"],
    ])
    const call = group.call("add", [1]) // executed, and on nobody else's disk
    const executed = group.executions.length
    succeed(group, primary)
    const next = group.master ?? ReplicaId("none")
    group.partition([[primary], [first, second, "log", "c"]])
    // the client's question is under way while the next primary hands over
    group.isSlow = (to, bytes) => to === next && decodeQuestion(bytes)._tag === "LookUp"
    group.advance(1000)
    expect(group.slow.length).toBeGreaterThan(0)
    group.tell(next, { _tag: "HandOver", to: next === first ? second : first })
    group.isSlow = () => false
    group.deliver()
    group.advance(2000)
    expect(group.executions).toHaveLength(executed)
    expect(call.error).toBeInstanceOf(OutcomeUnknown)
  })

  it("says nothing of copies that were sent to others, when one comes to it two epochs late", () => {
    const { group, primary, first, second } = begun(SYNCHRONOUS)
    add(group, 2)
    group.advance(500)
    group.isSlow = (to, bytes) => to === primary && decodeQuestion(bytes)._tag === "Execute"
    const call = group.call("add", [1])
    group.advance(300)
    const [soon, late] = group.slow
    expect(group.slow).toHaveLength(2)
    group.slow = []
    group.isSlow = () => false
    group.tell(primary, { _tag: "HandOver", to: first })
    expect(group.master).toBe(first)
    // one copy comes to the primary before, and so the next one executes it; all hold that, and nobody is told
    group.isLost = (_, bytes) => decodeMessage(bytes)?._tag === "Ship" && !hasRecords(bytes)
    group.mute = first
    soon?.()
    group.run()
    expect(group.executions.at(-1)).toBe(`${first}: 3`)
    expect([primary, second].map((name) => positionsOf(group, name)?.at(-1))).toEqual([4, 4])
    group.stop(first)
    group.isSlow = () => true
    succeed(group, first)
    group.slow = []
    late?.()
    group.run()
    const { slow } = group
    for (const name of group.names) group.stop(name)
    group.slow = slow
    group.isSlow = () => false
    group.deliver()
    group.advance(30_000)
    group.isLost = () => false
    group.mute = undefined
    for (const name of group.names) group.start(name)
    group.advance(5000)
    const got = group.call("get", [])
    group.advance(1000)
    expect(got).toEqual(returned(3))
    expect(call.error).toBeInstanceOf(OutcomeUnknown)
  })
})
