import { encodeReconfiguration, Epoch, OPERATOR, ReplicaId } from "@lockstep/core"
import { primaryBackup, type PrimaryBackupOptions } from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { decodeMessage, encodePlea } from "../../src/primary-backup/message.ts"
import { decodeSnapshot } from "../../src/primary-backup/snapshot.ts"
import { Disk } from "./disk.ts"
import { Group } from "./group.ts"

const EVERY = 5
const NEVER = 1_000_000

function begun(options: PrimaryBackupOptions, checkpointEveryBatches: number) {
  const group = new Group(primaryBackup(options), { checkpointEveryBatches })
  group.advance(1000)
  const primary = group.master ?? ReplicaId("none")
  const [first = primary, second = primary] = group.names.filter((name) => name !== primary)
  return { group, primary, first, second }
}

function add(group: Group, times: number): void {
  for (let i = 0; i < times; i++) group.call("add", [1])
}

const returned = (value: unknown) => ({ outcome: { _tag: "Returned", value } })
const positionsOf = (group: Group, name: ReplicaId) =>
  group.journals.get(name)?.map(({ position }) => position)

function reignOf(group: Group) {
  return group.replicas.get(group.master ?? ReplicaId("none"))?.status.reign
}

/** How far the newest checkpoint of this replica has read the log. */
function logRead(group: Group, name: ReplicaId): number {
  const { header } = group.disks.get(name)?.newest ?? {}
  return header === undefined ? 0 : decodeSnapshot(header).log.seq
}

describe("a primary that steps down", () => {
  it("leaves those who have acknowledged everything in sync: its successor may be gone with it", () => {
    const options = { replication: "semi-synchronous", acknowledgements: 2 } as const
    const { group, primary, first, second } = begun(options, NEVER)
    add(group, 2)
    group.advance(500)
    group.late = []
    group.tell(primary, { _tag: "HandOver", to: first })
    group.stop(first)
    group.stop(primary)
    group.arrive()
    group.advance(5000)
    expect(group.master).toBe(second)
    // and whoever lost its disk is let in again
    for (const name of [primary, first]) {
      group.journals.delete(name)
      group.start(name)
    }
    group.advance(3000)
    expect(group.call("add", [1])).toEqual(returned(3))
  })
})

describe("what a primary made beyond where the next one began", () => {
  /** The primary has one record that nobody else has, which its caller was told nothing of; another one was elected without it. */
  function succeeded() {
    const options = { replication: "synchronous" } as const
    const { group, primary, first, second } = begun(options, NEVER)
    add(group, 2)
    group.advance(500)
    group.partition([
      [primary, "c"],
      [first, second, "log"],
    ])
    group.call("add", [1])
    expect(positionsOf(group, primary)).toHaveLength(4) // with the one that opened the session
    for (let waited = 0; waited < 3000 && group.master === primary; waited += 50) group.advance(50)
    // it has not been let go of yet
    expect(reignOf(group)).toMatchObject({ epoch: 2, inSync: expect.arrayContaining([primary]) as unknown })
    return { group, primary }
  }

  it("does not come back when all lose power: it may have been said that it was not executed", () => {
    const { group, primary } = succeeded()
    for (const name of group.names) group.stop(name)
    group.partition([])
    for (const name of group.names) group.start(name)
    group.advance(5000)
    expect(reignOf(group)).toMatchObject({ epoch: 3 })
    expect(group.call("get", [])).toEqual(returned(2))
    expect(positionsOf(group, primary)).toHaveLength(3)
  })
})

describe("a replica that an operator has removed", () => {
  it("offers what it has until a primary has let it go: nobody else may hold that", () => {
    const { group, primary, first, second } = begun({ replication: "asynchronous" }, NEVER)
    add(group, 2)
    const voters = [first, second]
    group.append(OPERATOR, encodeReconfiguration({ epoch: Epoch(2), voters, standbys: [] }))
    // all lose power before their primary, which was removed, has handed over
    for (const name of group.names) group.stop(name)
    for (const name of group.names) group.start(name)
    group.advance(5000)
    expect(voters).toContain(group.master)
    expect(reignOf(group)?.inSync.toSorted()).toEqual(voters.toSorted())
    expect(primary).not.toBe(group.master)
    expect(group.call("get", [])).toEqual(returned(2))
  })
})

describe("replicas that have all offered themselves, but for one that never comes back", () => {
  it("elect one of them once an operator has removed that one", () => {
    const { group, primary, first, second } = begun({ replication: "synchronous" }, NEVER)
    add(group, 2)
    for (const name of group.names) group.stop(name)
    for (const name of [first, second]) group.start(name)
    group.advance(5000)
    expect(group.master).toBe(primary)
    const voters = [first, second]
    group.append(OPERATOR, encodeReconfiguration({ epoch: Epoch(2), voters, standbys: [] }))
    group.advance(1000)
    expect(voters).toContain(group.master)
    expect(reignOf(group)?.failovers).toBe(1)
    expect(group.call("add", [1])).toEqual(returned(3))
  })
})

describe("a bid of a replica that is gone when the log gets it", () => {
  it("leaves the primary before in sync, which may be the only one that holds everything", () => {
    const { group, primary, first } = begun({ replication: "synchronous", replicas: 2 }, NEVER)
    add(group, 2)
    group.cut.add(primary)
    group.late = []
    group.advance(2000)
    group.stop(first)
    group.stop(primary)
    group.journals.delete(first)
    group.cut.clear()
    group.arrive()
    for (const name of [first, primary]) group.start(name)
    group.advance(5000)
    expect(group.master).toBe(primary)
    expect(group.call("get", [])).toEqual(returned(2))
  })

  it("does not hold up writes where the one that was elected is there, and the primary before is not", () => {
    const { group, primary, first } = begun({ replication: "synchronous", replicas: 2 }, NEVER)
    add(group, 2)
    group.stop(primary)
    const call = group.call("add", [1])
    for (let ms = 0; ms < 3000 && group.master === primary; ms += 50) group.advance(50)
    expect(group.master).toBe(first)
    group.advance(300) // less than a backup that is silent is waited for
    expect(call).toEqual(returned(3))
  })
})

describe("a backup that was restarted", () => {
  it("lets go of nothing because of what its earlier life was told", () => {
    const { group, primary, first, second } = begun({ replication: "synchronous" }, NEVER)
    add(group, 2)
    const ships = group.told.filter(({ from, to, bytes }) => {
      const message = decodeMessage(bytes)
      return from === primary && to === first && message?._tag === "Ship" && message.spans.at(-1)?.last === 3
    })
    expect(ships).not.toEqual([])
    add(group, 3)
    group.partition([
      [primary, second, "c"],
      [first, "log"],
    ])
    group.stop(first)
    group.start(first)
    for (const { bytes } of ships) group.tell(first, { _tag: "Peer", from: primary, bytes })
    expect(positionsOf(group, first)).toEqual([1, 2, 3, 4, 5, 6]) // the first one opened the session
  })

  it("does not follow whoever was the primary when it last looked", () => {
    const { group, primary, first, second } = begun({ replication: "synchronous" }, EVERY)
    add(group, EVERY)
    group.partition([
      [primary, "a client of its own"],
      [first, second, "log", "c"],
    ])
    group.advance(3000)
    expect(group.master).not.toBe(primary)
    group.call("get", []) // finds the new primary
    group.advance(1000)
    add(group, 3)
    const other = group.master === first ? second : first
    const last = 1 + EVERY + 3 // the first one opened the session
    expect(positionsOf(group, other)?.at(-1)).toBe(last)
    group.partition([[other, primary], ["log"]])
    group.stop(other)
    group.start(other)
    group.advance(500)
    expect(positionsOf(group, other)?.at(-1)).toBe(last)
  })

  it("is in sync only with all that an earlier primary may have acknowledged, whether or not the next one knows", () => {
    const options = { replication: "semi-synchronous", replicas: 4, acknowledgements: 2 } as const
    const { group, primary } = begun(options, NEVER)
    const [last = primary, ...others] = group.names.filter((name) => name !== primary)
    add(group, 2)
    group.advance(500)
    group.cut.add(last)
    expect(group.call("add", [1])).toEqual(returned(3))
    // nobody was told yet that it is acknowledged
    group.stop(primary)
    group.stop(last)
    group.cut.delete(last)
    const hasRecords = (bytes: Uint8Array): boolean => {
      const message = decodeMessage(bytes)
      return message?._tag === "Ship" && message.records.length > 0
    }
    group.isLost = (to, bytes) => to === last && hasRecords(bytes)
    group.start(last)
    group.advance(5000)
    expect(others).toContain(group.master)
    for (const other of others) group.stop(other)
    group.advance(5000)
    expect(group.master).not.toBe(last)
    group.isLost = () => false
    // all in-sync replicas have begun another life: all of them are waited for
    for (const other of [...others, primary]) group.start(other)
    const call = group.call("get", [])
    group.advance(5000)
    expect(call).toEqual(returned(3))
  })

  it("is in sync only with a checkpoint that has read what the log may lose", () => {
    const { group, primary, first, second } = begun({ replication: "synchronous" }, NEVER)
    add(group, 2)
    group.stop(first)
    group.stop(second)
    group.advance(1000)
    expect(reignOf(group)?.inSync).toEqual([primary])
    // somebody begs for a checkpoint that has read more
    group.tell(primary, { _tag: "Peer", from: second, bytes: encodePlea({ firstSeq: group.entries.length }) })
    group.advance(500)
    const below = logRead(group, primary)
    expect(below).toBeGreaterThan(0)
    const disk = new Disk()
    disk.isFull = true
    group.disks.set(first, disk)
    group.start(first)
    group.advance(1000)
    expect(reignOf(group)?.inSync).toEqual([primary])
    disk.isFull = false
    group.advance(4000)
    expect(reignOf(group)?.inSync).toContain(first)
    expect(logRead(group, first)).toBeGreaterThanOrEqual(below)
  })
})

describe("a checkpoint of no record", () => {
  it("is one: where the log was truncated behind it, others begin with it", () => {
    const { group, primary, first } = begun({ replication: "asynchronous", replicas: 2 }, NEVER)
    group.partition([[primary, "c", "log"], [first]])
    add(group, 3)
    group.partition([
      [primary, "c"],
      [first, "log"],
    ])
    group.advance(3000)
    expect(group.master).toBe(first)
    group.partition([])
    group.advance(1000)
    expect(group.installed).toBe(1) // what it had is lost: it has begun with nothing
    group.tell(first, { _tag: "HandOver", to: primary })
    group.advance(1000)
    expect(group.master).toBe(primary)
    group.stop(first)
    group.journals.delete(first)
    group.disks.set(first, new Disk())
    group.advance(1000)
    group.firstSeq = logRead(group, primary)
    expect(group.firstSeq).toBeGreaterThan(1)
    group.start(first)
    group.advance(2000)
    expect(reignOf(group)?.inSync).toContain(first)
    group.call("add", [1]) // its session is among what was lost
    group.advance(100)
    expect(group.call("get", [])).toEqual(returned(0))
  })
})

describe("a primary that has named a successor in an entry which the log gets late", () => {
  it("begins nothing before it knows that nothing came of it", () => {
    const { group, primary, first } = begun({ replication: "synchronous" }, NEVER)
    add(group, 2)
    group.late = []
    group.tell(primary, { _tag: "HandOver", to: first })
    const call = group.call("add", [1])
    group.advance(2500)
    expect(positionsOf(group, first)).toEqual([1, 2, 3])
    group.arrive()
    group.advance(1000)
    expect(group.master).toBe(first)
    expect(call).toEqual(returned(3))
  })

  it("goes on once the log shows a later one", () => {
    const { group, primary, first } = begun({ replication: "synchronous" }, NEVER)
    add(group, 2)
    group.late = []
    group.tell(primary, { _tag: "HandOver", to: first })
    const call = group.call("add", [1])
    group.advance(2500)
    group.late = group.late.filter(({ source }) => source === `replica.${primary}`).slice(-1)
    group.arrive()
    group.advance(1000)
    expect(group.master).toBe(primary)
    expect(call).toEqual(returned(3))
  })
})
