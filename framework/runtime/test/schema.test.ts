import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { GroupName, Partition } from "@lockstep/core"
import { openConnection, stateSchema } from "@lockstep/nats"
import {
  type ActorClass,
  Command,
  connect,
  type Host,
  host,
  type HostEvent,
  NoQuorum,
  Replicated,
  SchemaConflict,
  stateMachine,
  UpgradeRefused,
  UpgradeUnfinished,
  upgradeSchema,
} from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { caughtUp, equal } from "./hosts.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })
const mode = stateMachine({ faults: 1, faultModel: "byzantine" })
const names = ["r0", "r1", "r2"]

@Replicated({ name: "test/Tally", version: 1, mode })
class Tally {
  count = 0

  @Command()
  add(amount: number): string {
    this.count += amount
    return `${this.count}`
  }
}

@Replicated({
  name: "test/Tally",
  version: 2,
  mode,
  migrations: { 1: ({ count }: { readonly count: number }) => ({ tenths: count * 10 }) },
})
class TallyOfTenths {
  tenths = 0

  @Command()
  add(amount: number): string {
    this.tenths += amount
    return `${this.tenths} tenths`
  }
}

@Replicated({ name: "test/Clerk", version: 1, mode })
class Clerk {
  @Command()
  greet(): string {
    return "hello"
  }
}

let server: Server
let dataDir: string
let hosts: Array<Host> = []
const events: Array<HostEvent & { readonly replica: string }> = []
beforeEach(async () => {
  server = await startServer()
  dataDir = mkdtempSync(join(tmpdir(), "lockstep-upgrade-"))
  events.length = 0
})
afterEach(async () => {
  await stop()
  await server.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

/** Starts replicas with this build. */
async function start(
  actors: ReadonlyArray<ActorClass>,
  options: { readonly replicas?: ReadonlyArray<string>; readonly keep?: "nothing" } = {},
): Promise<void> {
  for (const replica of options.replicas ?? names)
    hosts.push(
      await host({
        servers: server.url,
        actors,
        replica,
        create: { replicas: names, partitions: 2, checkpointEveryBatches: 10 },
        ...(options.keep === undefined && { dataDir: join(dataDir, replica) }),
        onEvent: (event) => void events.push({ ...event, replica }),
      }),
    )
}

async function stop(): Promise<void> {
  for (const running of hosts.splice(0)) await running.drain()
}

function upgrade(actors: ReadonlyArray<ActorClass>, deadlineMs = 20_000) {
  return upgradeSchema({ servers: server.url, actors, deadlineMs })
}

/** Adds one to actors of both partitions. */
async function add(build: ActorClass<{ add(amount: number): string }>): Promise<ReadonlyArray<string>> {
  await using client = await connect({ servers: server.url })
  const answers: Array<string> = []
  for (let i = 0; i < 6; i++) answers.push(await client.actor(build, `t${i}`).add(1))
  return [...new Set(answers)]
}

describe("an upgrade", () => {
  it("stops the old build at one entry of each partition, and the new one goes on from there", async () => {
    await start([Tally])
    expect(await add(Tally)).toEqual(["1"])
    const seqs = await upgrade([TallyOfTenths])
    expect(seqs.map((seq) => (seq ?? 0) > 1)).toEqual([true, true])
    expect(events.filter(({ event }) => event === "waits").length).toBe(6)
    expect(hosts.every(({ live, caughtUp: ready }) => live && !ready)).toBe(true)
    await stop()
    await start([TallyOfTenths])
    await caughtUp(hosts)
    expect(await add(TallyOfTenths)).toEqual(["11 tenths"])
    await equal(hosts)
    expect(await upgrade([TallyOfTenths])).toEqual(seqs)
    expect(await add(TallyOfTenths)).toEqual(["12 tenths"])
  })

  it("keeps calls waiting: one fails as undecided, and its retry has the answer of the new build, once", async () => {
    await start([Tally])
    await using client = await connect({ servers: server.url, limits: { deadlineMs: 1000 } })
    const tally = client.actor(Tally, "t0")
    expect(await tally.add(1)).toBe("1")
    await upgrade([TallyOfTenths])
    const error: unknown = await tally.add(1).catch((cause: unknown) => cause)
    if (!(error instanceof NoQuorum)) throw error
    expect(error).toMatchObject({ tookEffect: "unknown" })
    await stop()
    await start([TallyOfTenths])
    await caughtUp(hosts)
    expect(await client.retry(error)).toBe("11 tenths")
    expect(await tally.add(1)).toBe("12 tenths")
  })

  it("of a group that executes these versions already states that, and nothing waits", async () => {
    await start([Tally])
    await upgrade([Tally])
    expect(await add(Tally)).toEqual(["1"])
    expect(hosts.map(({ status }) => status.map(({ schema }) => schema.number))).toEqual([
      [1, 1],
      [1, 1],
      [1, 1],
    ])
    await upgrade([Tally])
    expect(hosts[0]?.status[0]?.schema.number).toBe(1)
  })

  it("is refused before anything waits: of what goes back or leaves out a class, or where no disk holds a checkpoint", async () => {
    await start([Tally, Clerk])
    await expect(upgrade([TallyOfTenths])).rejects.toThrow(/leaves out test\/Clerk/)
    await stop()
    await expect(upgrade([TallyOfTenths, Clerk])).rejects.toThrow(/none is heard of/)
    expect(await upgrade([Tally, Clerk]).catch((cause: unknown) => cause)).toBeInstanceOf(UpgradeRefused)
    await start([Tally, Clerk])
    expect(await add(Tally)).toEqual(["1"])
  })

  it("is refused where replicas keep nothing on disk: the new build would have nothing to begin with", async () => {
    await start([Tally], { keep: "nothing" })
    await expect(upgrade([TallyOfTenths], 500)).rejects.toThrow(/on the disks of nobody, where 2 replicas/)
    expect(await add(Tally)).toEqual(["1"])
  })

  it("that another operator has stated otherwise is a conflict, and says what it is now", async () => {
    await start([Tally])
    await upgrade([Tally])
    await using connection = await openConnection({ servers: server.url, name: "a quicker operator" })
    const slow = upgrade([TallyOfTenths])
    for (const index of [0, 1])
      await stateSchema(
        connection,
        { group: GroupName("main"), partition: Partition(index) },
        { number: 2, versions: new Map([["test/Tally", 7]]) },
      )
    const error = await slow.catch((cause: unknown) => cause)
    expect([SchemaConflict, UpgradeRefused]).toContain((error as Error).constructor) // it was caught before or after
    expect(String(error)).toMatch(/test\/Tally/)
  })

  it("says who holds the checkpoint where too few do, and waits again when it is said again", async () => {
    await start([Tally])
    await upgrade([Tally])
    await using connection = await openConnection({ servers: server.url, name: "an operator who dies" })
    await stop()
    for (const index of [0, 1])
      await stateSchema(
        connection,
        { group: GroupName("main"), partition: Partition(index) },
        { number: 2, versions: new Map([["test/Tally", 2]]) },
      )
    await start([Tally], { replicas: ["r0"] })
    await expect(upgrade([TallyOfTenths], 500)).rejects.toBeInstanceOf(UpgradeRefused)
    await start([Tally], { replicas: ["r1"] })
    const seqs = await upgrade([TallyOfTenths])
    expect(seqs.length).toBe(2)
    expect(new UpgradeUnfinished(Partition(0), 7, { holders: [], needed: 2 }).message).toMatch(/nobody/)
  })
})
