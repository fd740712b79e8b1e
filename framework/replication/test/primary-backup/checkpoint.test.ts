import { ReplicaId } from "@lockstep/core"
import { primaryBackup, type ReplicaOptions, type ReplicationMode } from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { Group } from "./group.ts"

const EVERY = 5
const SETTINGS = [
  primaryBackup({ replication: "synchronous" }),
  primaryBackup({ replication: "semi-synchronous", acknowledgements: 1 }),
  primaryBackup({ replication: "asynchronous" }),
]
const asynchronous = primaryBackup({ replication: "asynchronous" })

/** A group that takes checkpoints, with a primary and two backups in sync. */
function begun(mode: ReplicationMode, how: Partial<ReplicaOptions> = {}) {
  const group = new Group(mode, { checkpointEveryBatches: EVERY, ...how })
  group.advance(1000)
  const primary = group.master ?? ReplicaId("none")
  const [first = primary, second = primary] = group.names.filter((name) => name !== primary)
  return { group, primary, first, second }
}

function inSync(group: Group): unknown {
  return group.replicas.get(group.master ?? ReplicaId("none"))?.status.reign?.inSync
}

function add(group: Group, times: number): void {
  for (let i = 0; i < times; i++) group.call("add", [1])
}

const returned = (value: unknown) => ({ outcome: { _tag: "Returned", value } })

describe("a checkpoint", () => {
  it.each([
    ["is due after so many bytes of records, too, however few they are", 1, true],
    ["is not due before that", 1_000_000, false],
  ])("%s", (_, checkpointEveryBytes, isTaken) => {
    const { group, primary } = begun(asynchronous, { checkpointEveryBatches: 1000, checkpointEveryBytes })
    add(group, 6)
    group.advance(2000)
    expect(group.disks.get(primary)?.newest !== undefined).toBe(isTaken)
  })
})

describe("a backup that cannot go on with records", () => {
  it.each(SETTINGS)("fetches the primary's checkpoint, and is in sync again, $lane", (mode) => {
    const { group, primary, first } = begun(mode)
    add(group, 2)
    group.stop(first)
    group.advance(1000)
    add(group, 4 * EVERY)
    // to look at the state between two checkpoints changes nothing of the next one
    for (const { status } of group.replicas.values()) status.stateDigest()
    add(group, 2 * EVERY)
    group.start(first)
    group.advance(2000)
    expect(group.installed).toBe(1)
    expect(inSync(group)).toHaveLength(3)
    group.stop(primary)
    group.advance(3000)
    const call = group.call("get", [])
    group.advance(1000)
    expect(call).toEqual(returned(2 + 6 * EVERY))
  })

  it("fetches one where it had acknowledged what was lost with it", () => {
    const { group, primary, first, second } = begun(asynchronous)
    add(group, 2 * EVERY)
    group.partition([
      [primary, "c", "log"],
      [first, second],
    ])
    add(group, 3)
    group.partition([
      [primary, "c"],
      [first, second, "log"],
    ])
    group.advance(3000)
    expect(group.master).not.toBe(primary)
    group.partition([])
    group.advance(2000)
    expect(group.installed).toBe(1)
    expect(inSync(group)).toHaveLength(3)
    expect(group.call("get", [])).toEqual(returned(2 * EVERY))
  })
})
