import { digest, encodePeerReport, Epoch, GroupName, Partition, ReplicaId } from "@lockstep/core"
import { openConnection, readRoster, stateRoster } from "@lockstep/nats"
import {
  changeMembership,
  connect,
  type Host,
  host,
  type HostEvent,
  MarginTooSmall,
  MembershipConflict,
  stateMachine,
} from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { actors, Counter } from "./actors.ts"
import { caughtUp } from "./hosts.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })
const soon = { timeout: 10_000 }
const mode = stateMachine({ faults: 1, faultModel: "byzantine" })
const founders = ["r0", "r1", "r2"]

let server: Server
const events: Array<HostEvent> = []
const hosts: Array<Host> = []
beforeAll(async () => {
  server = await startServer()
  const create = { replicas: founders, partitions: 2 }
  for (const replica of [...founders, "r3", "r4"]) {
    const standby = !founders.includes(replica)
    const onEvent = (event: HostEvent): unknown => replica === "r3" && events.push(event)
    hosts.push(
      await host({ servers: server.url, actors, replica, standby, create, determinism: "guarded", onEvent }),
    )
  }
  await caughtUp(hosts)
})
afterAll(async () => {
  await Promise.all(hosts.map((running) => running.drain()))
  await server.stop()
})

function change(voters: ReadonlyArray<string>, standbys: ReadonlyArray<string> = []) {
  return changeMembership({ servers: server.url, mode, voters, standbys })
}

describe("a change of membership", () => {
  it("takes place in every partition, is told, and is followed by a client that was there before", async () => {
    await using client = await connect({ servers: server.url })
    for (let i = 0; i < 8; i++) await client.actor(Counter, `c${i}`).add(1)
    const { rosters } = await change(["r0", "r1", "r3"], ["r2"])
    const roster = { epoch: 2, voters: ["r0", "r1", "r3"], standbys: ["r2"] }
    expect(rosters).toEqual([roster, roster])
    for (let i = 0; i < 8; i++) expect(await client.actor(Counter, `c${i}`).add(1)).toBe(2)
    expect(events).toContainEqual({ event: "membership", partition: 1, role: "voter", ...roster })
    const roles = hosts.map(({ status }) => status.map(({ role }) => role).join())
    expect(roles).toEqual([
      "voter,voter",
      "voter,voter",
      "standby,standby",
      "voter,voter",
      "unlisted,unlisted",
    ])
  })

  it("that was begun and not finished is finished by saying it again", async () => {
    await using connection = await openConnection({ servers: server.url, name: "an operator who dies" })
    const log = { group: GroupName("main"), partition: Partition(0) }
    const { epoch } = await readRoster(connection, log)
    const voters = ["r0", "r1", "r4"].map(ReplicaId)
    await stateRoster(connection, log, { epoch: Epoch(epoch + 1), voters, standbys: [] })
    await expect.poll(() => hosts[4]?.status[0]?.role, soon).toBe("voter")
    expect((await readRoster(connection, log)).epoch).toBe(epoch)
    const { rosters } = await change(["r0", "r1", "r4"])
    expect(rosters.map((roster) => roster.epoch)).toEqual([epoch + 1, epoch + 1])
    expect(rosters.map((roster) => roster.voters)).toEqual([voters, voters])
  })

  it("of two operators at once succeeds for one, or for one after the other, and the loser is told", async () => {
    const wishes = [
      ["r0", "r1", "r2"],
      ["r1", "r2", "r3"],
    ]
    const results = await Promise.allSettled(wishes.map((voters) => change(voters)))
    const lost = results.filter((result) => result.status === "rejected")
    for (const { reason } of lost) expect(reason).toBeInstanceOf(MembershipConflict)
    expect(lost.length).toBeLessThan(2)
    await using client = await connect({ servers: server.url })
    for (const { voters } of client.group.rosters) expect(wishes).toContainEqual(voters)
    for (let i = 0; i < 8; i++) expect(await client.actor(Counter, `d${i}`).add(1)).toBe(1)
  })

  it("gives no vote to a replica that has been wrong, and is not believed again yet", async () => {
    await using connection = await openConnection({ servers: server.url, name: "a replica on probation" })
    const group = GroupName("main")
    const report = { group, epoch: Epoch(1), replica: ReplicaId("r9"), seq: 1_000_000, chain: digest("its") }
    const schema = { number: 0, versions: new Map() }
    const say = (onProbation: boolean) => {
      for (const partition of [Partition(0), Partition(1)])
        connection.publish(
          `peer.main.${partition}.r9`,
          encodePeerReport({ ...report, partition, schema, onProbation }),
        )
    }
    const timer = setInterval(() => say(true), 20)
    try {
      const refused = await change(["r0", "r1", "r9"]).catch((cause: unknown) => cause)
      expect(refused).toBeInstanceOf(MarginTooSmall)
      expect(refused).toMatchObject({ unfit: [{ replica: "r9", applied: 1_000_000, onProbation: true }] })
      expect(String(refused)).toMatch(/r9 was wrong, and its votes do not count until/)
    } finally {
      clearInterval(timer)
    }
  })

  it("with too few voters to decide anything is refused before anything is sent", async () => {
    await expect(change(["r0"])).rejects.toThrow(/1 voters cannot decide anything where 2 equal votes/)
    await expect(change(["r0", "r1"], ["r1"])).rejects.toThrow(/a name of their own/)
  })
})
