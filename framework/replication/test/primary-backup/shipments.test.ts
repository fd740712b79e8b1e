import { ReplicaId } from "@lockstep/core"
import { primaryBackup, type ReplicationMode, type ShipmentObserver } from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { Group } from "./group.ts"

const synchronous = primaryBackup({ replication: "synchronous" })
const asynchronous = primaryBackup({ replication: "asynchronous" })
const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
const NONE = ReplicaId("none")

/** A group with a primary whose backups are in sync, which was told of nothing yet, and what is told of the records of traced commands. */
function begun(mode: ReplicationMode) {
  const told: Array<string> = []
  const shipments: ShipmentObserver = {
    recorded: ({ position }) => ({
      shipped: (backup) => {
        told.push(`${position} is sent to ${backup}`)
        return { end: (how) => void told.push(`${position} to ${backup}: ${how}`) }
      },
    }),
  }
  const group = new Group(mode, { shipments })
  group.advance(1000)
  group.call("add", [1])
  const primary = group.master ?? NONE
  const [first = NONE, second = NONE] = group.names.filter((name) => name !== primary)
  group.notices.length = 0
  return { group, told, primary, first, second }
}

describe("a record of a traced command", () => {
  it("is told of once for each backup, when it is sent first, and when the backup has it", () => {
    const { group, told, first, second } = begun(synchronous)
    expect(told).toEqual([])
    group.trace = TRACE
    group.call("add", [1])
    expect(told.toSorted()).toEqual(
      [first, second].flatMap((backup) => [`3 is sent to ${backup}`, `3 to ${backup}: held`]).toSorted(),
    )
    group.trace = undefined
    group.call("add", [1])
    expect(told).toHaveLength(4)
  })

  it("is told of once where it is lost on the way, and sent again", () => {
    const { group, told, first, second } = begun(asynchronous)
    group.trace = TRACE
    group.cut.add(first)
    group.call("add", [1])
    group.advance(300)
    expect(told).toEqual([`3 is sent to ${first}`, `3 is sent to ${second}`, `3 to ${second}: held`])
    group.cut.delete(first)
    group.advance(300)
    // what was sent first is lost, so it came once more
    expect(told.slice(3)).toEqual([`3 to ${first}: held`])
  })

  it("is not waited for where the backup falls out, and not told of again when it catches up", () => {
    const { group, told, first } = begun(synchronous)
    group.trace = TRACE
    group.cut.add(first)
    group.call("add", [1])
    group.advance(1000)
    group.call("add", [1])
    group.cut.delete(first)
    group.advance(1000)
    expect(group.isWhole).toBe(true)
    expect(told.filter((text) => text.includes(first))).toEqual([
      `3 is sent to ${first}`,
      `3 to ${first}: late`,
    ])
  })

  it("is not waited for once the backup is in another life", () => {
    const { group, told, first } = begun(asynchronous)
    group.trace = TRACE
    group.cut.add(first)
    group.call("add", [1])
    group.cut.delete(first)
    group.stop(first)
    // before the log says so
    group.isLogAway = true
    group.start(first)
    group.advance(200)
    expect(told.filter((text) => text.includes(first))).toEqual([
      `3 is sent to ${first}`,
      `3 to ${first}: restarted`,
    ])
  })

  it("is not waited for by a primary that is none any more", () => {
    const { group, told, primary, first, second } = begun(synchronous)
    group.trace = TRACE
    group.partition([
      [primary, "c"],
      [first, second, "log"],
    ])
    group.call("add", [1])
    group.advance(3000)
    expect(told).toHaveLength(2)
    group.partition([])
    group.advance(100)
    expect(told.slice(2)).toEqual([`3 to ${first}: failover`, `3 to ${second}: failover`])
  })
})

describe("what a master tells operators", () => {
  it("is that it serves, and how long ago it heard of the one before", () => {
    const { group, primary } = begun(synchronous)
    group.stop(primary)
    group.advance(3000)
    const serves = group.notices.filter(({ notice }) => notice.event === "serves")
    expect(serves).toEqual([
      {
        from: group.master,
        notice: {
          event: "serves",
          epoch: 2,
          lossWindow: 0,
          cause: "failover",
          before: primary,
          silentMs: expect.any(Number),
        },
      },
    ])
    const [silentMs = 0] = serves.map(({ notice }) => ("silentMs" in notice ? notice.silentMs : 0))
    expect(silentMs).toBeGreaterThan(700) // the lease, but for the age of its last renewal
    expect(silentMs).toBeLessThan(1300)
  })

  it("is nothing of reigns that a replica reads of later", () => {
    const { group, primary, first } = begun(synchronous)
    group.tell(primary, { _tag: "HandOver", to: first })
    group.advance(1000)
    const before = group.reigns.filter(({ report }) => report.isMaster).length
    group.notices.length = 0
    group.stop(primary)
    group.start(primary)
    group.stop(first)
    group.start(first)
    expect(group.reigns.filter(({ report }) => report.isMaster)).toHaveLength(before)
    expect(group.notices).toEqual([])
  })

  it("is who falls out, and why, and who is back", () => {
    const { group, primary, first, second } = begun(asynchronous)
    const changes = () =>
      group.notices.splice(0).map(({ from, notice }) => {
        if (notice.event === "serves") return `${from} serves: ${notice.cause}`
        const left = notice.left.map(({ replica, reason }) => `${replica} is out: ${reason}`)
        return [from, ...left, ...notice.joined].join(", ")
      })
    group.cut.add(first)
    group.advance(1000)
    expect(changes()).toEqual([`${primary}, ${first} is out: late`])
    group.cut.delete(first)
    group.advance(1000)
    expect(changes()).toEqual([`${primary}, ${first}`])
    group.tell(first, { _tag: "Leave" })
    group.advance(200)
    expect(changes()).toEqual([`${primary}, ${first} is out: leaving`])
    group.stop(first)
    group.start(first)
    group.advance(1000)
    expect(changes()).toEqual([`${primary}, ${first}`])
    group.stop(second)
    group.start(second)
    group.advance(1000)
    expect(changes()).toEqual([`${primary}, ${second} is out: restarted, ${second}`])
    group.tell(primary, { _tag: "HandOver", to: first })
    group.advance(1000)
    expect(changes()).toEqual([
      `${first}, ${second} is out: hand-over`,
      `${first} serves: hand-over`,
      `${first}, ${second}`,
    ])
  })
})
