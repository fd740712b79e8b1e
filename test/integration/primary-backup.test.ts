import {
  type ActorClass,
  changeMembership,
  type Client,
  Command,
  connect,
  handOver,
  type Host,
  host,
  type HostOptions,
  primaryBackup,
  Query,
  Replicated,
  upgradeSchema,
} from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const soon = { timeout: 20_000 }
const replicas = ["r0", "r1", "r2"]
const root = mkdtempSync(join(tmpdir(), "lockstep-primary-"))
let server: Server
beforeAll(async () => {
  server = await startServer()
})
afterAll(async () => {
  await server.stop()
  rmSync(root, { recursive: true, force: true })
})

interface Diary {
  note(id: string): Promise<{ readonly place: number; readonly atMs: number }>
  all(): ReadonlyArray<{ readonly id: string; readonly atMs: number }>
}

/** Remembers what was noted, and when, by the primary's own clock. */
function diary(mode: ReturnType<typeof primaryBackup>): ActorClass<Diary> {
  @Replicated({ name: "test/Diary", version: 1, mode })
  class Noted implements Diary {
    notes: Array<{ id: string; atMs: number }> = []

    @Command()
    async note(id: string): Promise<{ place: number; atMs: number }> {
      const atMs = Date.now()
      await sleep(1)
      return { place: this.notes.push({ id, atMs }) - 1, atMs }
    }

    @Query()
    all(): ReadonlyArray<{ id: string; atMs: number }> {
      return this.notes
    }
  }
  return Noted
}

const MODES = {
  synchronous: primaryBackup({ replication: "synchronous" }),
  "semi-synchronous": primaryBackup({ replication: "semi-synchronous", acknowledgements: 1 }),
  asynchronous: primaryBackup({ replication: "asynchronous" }),
}

function start(
  replica: string,
  group: string,
  actor: ActorClass,
  how: Pick<HostOptions, "standby"> = {},
): Promise<Host> {
  const dataDir = join(root, group, replica)
  return host({ servers: server.url, group, actors: [actor], replica, create: { replicas }, dataDir, ...how })
}

/** Three replicas of a group of this name, each with a disk. */
async function three(group: string, actor: ActorClass<Diary>): Promise<Group> {
  const stack = new AsyncDisposableStack()
  const hosts: Array<Host> = []
  for (const replica of replicas) hosts.push(stack.use(await start(replica, group, actor)))
  const client = stack.use(await connect({ servers: server.url, group, limits: { deadlineMs: 20_000 } }))
  return { hosts, client, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

interface Group extends AsyncDisposable {
  readonly hosts: ReadonlyArray<Host>
  readonly client: Client
}

/** The replica that surely is the master, once there is one. */
async function masterOf(hosts: ReadonlyArray<Host>): Promise<Host> {
  const found = () =>
    hosts.find(({ replica, status }) => {
      const reign = status[0]?.reign
      return reign?.leased === true && reign.master === replica
    })
  await expect.poll(found, soon).toBeDefined()
  return found() ?? masterOf(hosts)
}

describe.each(Object.entries(MODES))("%s replication", (setting, mode) => {
  const actor = diary(mode)

  it("answers, and what a command read of the clock is the same for everybody", async () => {
    await using group = await three(`answers-${setting}`, actor)
    const notes = group.client.actor(actor, "d")
    const begunMs = Date.now()
    const told = await Promise.all(Array.from({ length: 50 }, (_, i) => notes.note(`note ${i}`)))
    expect(told.map(({ place }) => place).toSorted((a, b) => a - b)).toEqual([...told.keys()])
    for (const { atMs } of told) expect(atMs).toBeGreaterThanOrEqual(begunMs)
    const all = await notes.all()
    expect(told.map(({ place, atMs }) => all[place]?.atMs === atMs)).not.toContain(false)
    // an order that every replica comes to, also those that did not execute
    const digests = () => new Set(group.hosts.map(({ status }) => status[0]?.stateDigest())).size
    await expect.poll(digests, soon).toBe(1)
  })

  it("goes on with another primary when the first is gone, and tells how much may be lost", async () => {
    await using group = await three(`survives-${setting}`, actor)
    const notes = group.client.actor(actor, "d")
    for (let i = 0; i < 20; i++) await notes.note(`before ${i}`)
    const first = await masterOf(group.hosts)
    await first.drain()
    const others = group.hosts.filter((other) => other !== first)
    const next = await masterOf(others)
    const { epoch = 0, lossWindow = 0 } = next.status[0]?.reign ?? {}
    expect(epoch).toBeGreaterThan(1)
    expect(lossWindow).toBeLessThanOrEqual(setting === "asynchronous" ? Number.MAX_SAFE_INTEGER : 0)
    await notes.note("after")
    const ids = (await notes.all()).map(({ id }) => id)
    expect(ids.at(-1)).toBe("after")
    const kept = Array.from({ length: 20 }, (_, i) => `before ${i}`).filter((id) => ids.includes(id))
    expect(kept.length).toBeGreaterThanOrEqual(20 - lossWindow)
    expect(ids).toEqual([...kept, "after"])
  })

  it("hands over under load, and no call fails", async () => {
    await using group = await three(`hands-over-${setting}`, actor)
    const first = await masterOf(group.hosts)
    const next = group.hosts.find((other) => other !== first)
    if (next === undefined) throw new Error("there are three")
    await underLoad(group.client, actor, async () => {
      const epochs = await handOver({
        servers: server.url,
        group: group.client.group.group,
        to: next.replica,
      })
      expect(epochs.size).toBe(1)
      expect((await masterOf(group.hosts)).replica).toBe(next.replica)
    })
  })

  it("lets go of a primary that an operator removes, under load, and a standby takes its place: no call fails", async () => {
    const name = `removes-${setting}`
    await using group = await three(name, actor)
    await using spare = await start("r3", name, actor, { standby: true })
    const first = await masterOf(group.hosts)
    const others = group.hosts.filter((other) => other !== first)
    const voters = [...others, spare]
    await underLoad(group.client, actor, async () => {
      const changed = await changeMembership({
        servers: server.url,
        group: name,
        mode,
        voters: voters.map(({ replica }) => replica),
      })
      expect(changed.rosters[0]?.epoch).toBe(2)
      const next = await masterOf(voters)
      // who was removed is let go of, and who came is let in
      const inSync = () => next.status[0]?.reign?.inSync.toSorted()
      await expect.poll(inSync, soon).toEqual(voters.map(({ replica }) => replica).toSorted())
    })
    expect(first.status[0]).toMatchObject({ role: "unlisted", reign: { isMaster: false } })
    const digests = () => new Set(voters.map(({ status }) => status[0]?.stateDigest())).size
    await expect.poll(digests, soon).toBe(1)
  })
})

/** Four callers note one thing after the other, from before until after something is done. At the end all is there, in order, once. */
async function underLoad(
  client: Client,
  actor: ActorClass<Diary>,
  something: () => Promise<void>,
): Promise<void> {
  const stop = new AbortController()
  const call = async (key: string): Promise<number> => {
    const notes = client.actor(actor, key)
    let noted = 0
    while (!stop.signal.aborted) await notes.note(`${noted++}`)
    return noted
  }
  const keys = ["a", "b", "c", "d"]
  const calls = keys.map(call)
  await sleep(200)
  await something()
  await sleep(200)
  stop.abort()
  const counts = await Promise.all(calls)
  for (const [index, key] of keys.entries()) {
    const ids = (await client.actor(actor, key).all()).map(({ id }) => id)
    expect(ids).toEqual(Array.from({ length: counts[index] ?? 0 }, (_, i) => `${i}`))
  }
}

describe("a group with a single master", () => {
  const mode = primaryBackup({ replication: "synchronous" })

  @Replicated({
    name: "test/Diary",
    version: 2,
    mode,
    migrations: {
      1: ({ notes }: { readonly notes: ReadonlyArray<{ id: string }> }) => ({
        ids: notes.map(({ id }) => id),
      }),
    },
  })
  class NextDiary {
    ids: Array<string> = []

    @Command()
    write(id: string): number {
      return this.ids.push(id)
    }

    @Query()
    written(): ReadonlyArray<string> {
      return this.ids
    }
  }

  it("is upgraded by starting its replicas anew, one after the other, the master last", async () => {
    const group = "upgraded"
    const old = diary(mode)
    await using before = await three(group, old)
    await before.client.actor(old, "d").note("by the old build")
    const master = await masterOf(before.hosts)
    await using stack = new AsyncDisposableStack()
    const hosts: Array<Host> = []
    for (const each of before.hosts.toSorted((a, b) => Number(a === master) - Number(b === master))) {
      await each.drain()
      hosts.push(stack.use(await start(each.replica, group, NextDiary)))
      await expect.poll(() => hosts.every(({ caughtUp }) => caughtUp), soon).toBe(true)
    }
    const next = before.client.actor(NextDiary, "d")
    expect(await next.write("by the new one")).toBe(2)
    expect(await next.written()).toEqual(["by the old build", "by the new one"])
  })

  it("needs no entry in the log for that, and says so", async () => {
    await expect(upgradeSchema({ servers: server.url, actors: [NextDiary] })).rejects.toThrow(
      /^classes of the mode primary-backup are upgraded without an entry in the log: start the replicas with the new build/,
    )
  })
})
