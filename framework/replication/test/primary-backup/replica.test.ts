import { ReplicaId } from "@lockstep/core"
import { primaryBackup, type ReplicationMode } from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { Group } from "./group.ts"

const synchronous = primaryBackup({ replication: "synchronous" })
const semiSynchronous = primaryBackup({ replication: "semi-synchronous", acknowledgements: 1 })
const asynchronous = primaryBackup({ replication: "asynchronous" })
const SETTINGS = [synchronous, semiSynchronous, asynchronous]

/** A group that has elected its primary, whose backups are in sync. */
function begun(mode: ReplicationMode) {
  const group = new Group(mode)
  group.advance(1000)
  const primary = group.master ?? ReplicaId("none")
  const backups = group.names.filter((name) => name !== primary)
  const [first = primary, second = primary] = backups
  return { group, primary, backups, first, second }
}

const returned = (value: unknown) => ({ outcome: { _tag: "Returned", value } })

describe("a group with a single master", () => {
  it.each(SETTINGS)("answers, $lane", (mode) => {
    const group = new Group(mode)
    group.advance(500)
    const call = group.call("add", [3])
    group.advance(500)
    expect(call).toEqual({ outcome: { _tag: "Returned", value: 3 } })
    expect(group.call("get", [])).toEqual({ outcome: { _tag: "Returned", value: 3 } })
  })

  it.each(SETTINGS)("elects another one when its primary is gone, which has everything, $lane", (mode) => {
    const group = new Group(mode)
    group.advance(1000)
    for (let i = 0; i < 10; i++) group.call("add", [1])
    group.advance(500)
    const first = group.master
    expect(first).toBeDefined()
    group.stop(first ?? ReplicaId("none"))
    group.advance(2000)
    expect(group.master).not.toBe(first)
    const call = group.call("get", [])
    group.advance(1000)
    expect(call).toEqual({ outcome: { _tag: "Returned", value: 10 } })
    const more = group.call("add", [1])
    group.advance(1000)
    expect(more).toEqual({ outcome: { _tag: "Returned", value: 11 } })
    group.start(first ?? ReplicaId("none"))
    group.advance(2000)
    const reign = group.replicas.get(group.master ?? ReplicaId("none"))?.status.reign
    expect(reign?.inSync).toHaveLength(3)
  })
})

describe("a synchronous primary", () => {
  it("does not answer while an in-sync backup has not acknowledged, and does once the log says that it is out", () => {
    const { group, primary, first } = begun(synchronous)
    expect(group.call("add", [1])).toEqual(returned(1))
    group.cut.add(first)
    const call = group.call("add", [1])
    group.advance(400)
    expect(call).toEqual({})
    group.advance(400)
    expect(call).toEqual(returned(2))
    expect(group.replicas.get(primary)?.status.reign?.inSync).not.toContain(first)
  })

  it("does not answer on its own word that a backup is out: the log must have shown it", () => {
    const { group, primary, first } = begun(synchronous)
    group.call("add", [1])
    group.cut.add(first)
    group.isLogAway = true
    const call = group.call("add", [1])
    group.advance(3000)
    expect(call).toEqual({})
    expect(group.master).toBe(primary)
    group.isLogAway = false
    group.advance(500)
    expect(call).toEqual(returned(2))
  })

  it("refuses writes where fewer are in sync than the class asks for", () => {
    const { group, first, second } = begun(primaryBackup({ replication: "synchronous", inSyncMin: 2 }))
    expect(group.call("add", [1])).toEqual(returned(1))
    group.stop(first)
    group.stop(second)
    group.advance(1000)
    expect(group.call("add", [1]).error).toMatchObject({ _tag: "NotEnoughReplicas", tookEffect: "no" })
    group.start(first)
    group.advance(2000)
    expect(group.call("add", [1])).toEqual(returned(2))
  })

  it("is not replaced by one that is not in sync", () => {
    const { group, primary, first, second } = begun(synchronous)
    group.cut.add(first)
    group.call("add", [1])
    group.advance(1000)
    group.stop(primary)
    group.stop(second)
    group.cut.clear()
    group.advance(5000)
    expect(group.master).toBe(primary)
    group.start(second)
    group.advance(5000)
    // all in-sync replicas must be heard, now that none of them is in the life that was in sync
    expect(group.master).toBe(primary)
    group.start(primary)
    group.advance(3000)
    expect(group.call("get", [])).toEqual(returned(1))
  })
})

describe("an old primary", () => {
  it.each(SETTINGS)("answers no read once another may have been elected, $lane", (mode) => {
    const { group, primary } = begun(mode)
    group.call("add", [1])
    const backups = group.names.filter((name) => name !== primary)
    group.partition([
      [primary, "c"],
      [...backups, "log"],
    ])
    group.advance(3000)
    expect(group.master).not.toBe(primary)
    const call = group.call("get", [])
    expect(call).toEqual({})
    group.partition([])
    group.advance(1000)
    expect(call).toEqual(returned(1))
  })

  it.each([synchronous, semiSynchronous])("lets go of what was never acknowledged, $lane", (mode) => {
    const { group, primary, first, second } = begun(mode)
    group.call("add", [1])
    group.partition([
      [primary, "c"],
      [first, second, "log"],
    ])
    const lost = group.call("add", [10])
    group.advance(3000)
    expect(lost).toEqual({})
    expect(group.master).not.toBe(primary)
    group.partition([])
    group.advance(2000)
    expect(lost.error).toMatchObject({ _tag: "OutcomeUnknown", tookEffect: "unknown" })
    expect(group.call("get", [])).toEqual(returned(1))
    expect(group.replicas.get(primary)?.status.reign?.truncated).toBe(1)
    const again = group.retry(lost.error)
    group.advance(500)
    expect(again).toEqual(returned(11))
  })
})

describe("a semi-synchronous primary", () => {
  it("refuses where there are fewer than k backups, and never answers without them", () => {
    const { group, first, second } = begun(semiSynchronous)
    group.stop(first)
    group.advance(1000)
    expect(group.call("add", [1])).toEqual(returned(1))
    group.stop(second)
    group.advance(1000)
    expect(group.call("add", [1]).error).toMatchObject({ _tag: "NotEnoughReplicas" })
  })

  it("goes on with fewer where the class says so, states that in the log first, and counts it", () => {
    const { group, primary, first, second } = begun(
      primaryBackup({ replication: "semi-synchronous", acknowledgements: 1, below: "degrade" }),
    )
    group.stop(first)
    group.stop(second)
    const call = group.call("add", [1])
    expect(call).toEqual({})
    group.advance(1000)
    expect(call).toEqual(returned(1))
    const reign = group.replicas.get(primary)?.status.reign
    expect(reign).toMatchObject({ degraded: true, degradedCommands: 1, acknowledgements: 0 })
    group.start(first)
    group.advance(1000)
    expect(group.replicas.get(primary)?.status.reign).toMatchObject({ degraded: false, acknowledgements: 1 })
  })
})

describe("an asynchronous primary", () => {
  it("loses no more than a failover reports, and says how much that may be", () => {
    const { group, primary } = begun(asynchronous)
    group.call("add", [1])
    group.partition([[primary, "c"], group.names.filter((name) => name !== primary).concat(ReplicaId("log"))])
    const acknowledged = [1, 2, 3].map(() => group.call("add", [1]))
    expect(acknowledged).toEqual([returned(2), returned(3), returned(4)])
    group.stop(primary)
    group.partition([])
    group.advance(3000)
    const { report } = group.reigns.at(-1) ?? {}
    const call = group.call("get", [])
    group.advance(1000)
    expect(call).toEqual(returned(1))
    expect(report?.lossWindow).toBeGreaterThanOrEqual(3)
  })
})

describe("a planned handover", () => {
  it.each(SETTINGS)("loses nothing, and fails no call, $lane", (mode) => {
    const { group, primary, first } = begun(mode)
    group.call("add", [1])
    group.tell(primary, { _tag: "HandOver", to: first })
    const call = group.call("add", [1])
    group.advance(300)
    expect(group.master).toBe(first)
    expect(call).toEqual(returned(2))
  })
})

describe("a replica that is to end", () => {
  it.each(SETTINGS)("hands over, where it is the primary, to the one that stays, $lane", (mode) => {
    const { group, primary, first, second } = begun(mode)
    group.call("add", [1])
    group.tell(first, { _tag: "Leave" })
    group.tell(primary, { _tag: "Leave" })
    const call = group.call("add", [1])
    group.advance(200)
    expect(group.master).toBe(second)
    expect(call).toEqual(returned(2))
    expect(group.replicas.get(primary)?.status.reign?.isMaster).toBe(false)
  })

  it("waits for a successor that it has not heard of for a moment", () => {
    const { group, primary, first, second } = begun(asynchronous)
    group.partition([
      [primary, "log", "c"],
      [first, second],
    ])
    group.advance(400)
    group.tell(primary, { _tag: "Leave" })
    expect(group.replicas.get(primary)?.status.reign?.mayLeave).toBe(false)
    group.partition([])
    group.advance(150)
    group.tell(primary, { _tag: "Leave" })
    group.advance(50)
    expect(group.master).not.toBe(primary)
  })

  it("waits for one that is not in sync yet: alone, it would take the group with it", () => {
    const { group, primary, first, second } = begun(asynchronous)
    group.partition([
      [primary, "log", "c"],
      [first, second],
    ])
    group.advance(900)
    expect(group.replicas.get(primary)?.status.reign?.inSync).toEqual([primary])
    group.tell(primary, { _tag: "Leave" })
    expect(group.replicas.get(primary)?.status.reign?.mayLeave).toBe(false)
    group.partition([])
    for (let i = 0; i < 20; i++) {
      group.advance(50)
      group.tell(primary, { _tag: "Leave" })
    }
    expect(group.master).not.toBe(primary)
  })

  it("is out of sync at once where it is a backup: no write waits for it", () => {
    const { group, primary, first, second } = begun(synchronous)
    expect(group.replicas.get(first)?.status.reign?.mayLeave).toBe(false)
    group.tell(first, { _tag: "Leave" })
    group.advance(50)
    expect(group.replicas.get(primary)?.status.reign?.inSync).toEqual([primary, second])
    expect(group.replicas.get(first)?.status.reign?.mayLeave).toBe(true)
    group.stop(first)
    expect(group.call("add", [1])).toEqual(returned(1))
  })
})

describe("a query that may be old", () => {
  it("is answered by a backup that is fresh enough, and not by one that is not", () => {
    const { group, first, second } = begun(synchronous)
    group.call("add", [1])
    group.advance(300)
    const asked = group.asked.length
    expect(group.call("get", [], { maxStalenessMs: 1000 })).toEqual(returned(1))
    expect(group.asked.slice(asked)).not.toContain(group.master)
    group.partition([
      [first, second, "c"],
      [group.master ?? "", "log"],
    ])
    group.advance(900)
    const late = group.call("get", [], { maxStalenessMs: 100 })
    expect(late).toEqual({})
  })
})
