import {
  connect,
  DefinitionError,
  GroupMismatch,
  type Host,
  host,
  type HostEvent,
  type HostOptions,
  LogUnavailable,
  UnknownGroup,
  UnsafeSetting,
} from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { openConnection } from "@lockstep/nats"
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { actors, Counter, LyingCounter, Purse, Wide } from "./actors.ts"
import { caughtUp, equal } from "./hosts.ts"
import { rejection } from "./rejection.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })
const soon = { timeout: 10_000 }
const replicas = ["r0", "r1", "r2"]

let server: Server
let group = "g0"
beforeAll(async () => {
  server = await startServer()
})
beforeEach(() => {
  group = `g${Number(group.slice(1)) + 1}`
})
afterAll(() => server.stop())

/** One replica of this test's group, which must be there. */
function join(replica: string, options: Partial<HostOptions> = {}): Promise<Host> {
  return host({ servers: server.url, group, actors, replica, determinism: "guarded", ...options })
}

/** One replica of this test's group, which it makes if it is the first. */
function start(replica: string, options: Partial<HostOptions> = {}): Promise<Host> {
  return join(replica, { create: { replicas, partitions: 2 }, ...options })
}

describe("a host", () => {
  it("makes the group together with the others, all at once, and finds it made", async () => {
    await using stack = new AsyncDisposableStack()
    const hosts = await Promise.all(replicas.map((replica) => start(replica)))
    for (const running of hosts) stack.use(running)
    const [first, ...others] = hosts.map((running) => running.group)
    expect(first).toMatchObject({ group, replicas, partitions: 2 })
    for (const other of others) expect(other).toEqual(first)
    await using found = await join("r1")
    expect(found.group).toEqual(first)
  })

  it("tells where it attached, that it caught up, and what an actor threw", async () => {
    const events: Array<HostEvent> = []
    await using r0 = await start("r0", { onEvent: (event) => events.push(event) })
    await using r1 = await start("r1")
    await caughtUp([r0, r1])
    expect(events).toContainEqual({ event: "attached", partition: 1, firstSeq: 0, lastSeq: 0 })
    expect(events).toContainEqual({ event: "caught-up", partition: 1, seq: 0, executed: 0 })
    await using client = await connect({ servers: server.url, group })
    await rejection(client.actor(Purse, "p").stumble())
    await expect
      .poll(() => events.at(-1), soon)
      .toMatchObject({
        event: "actor-threw",
        target: "test/Purse/stumble",
        error: expect.stringMatching(/^RangeError: a secret of the actor's\n/),
      })
  })

  it("that comes late executes everything, is equal to the others, and then votes", async () => {
    await using r0 = await start("r0")
    await using r1 = await start("r1")
    await using client = await connect({ servers: server.url, group })
    const add = (i: number) => client.actor(Counter, `c${i % 7}`).add(i)
    await Promise.all(Array.from({ length: 100 }, (_, i) => add(i)))
    await using r2 = await start("r2")
    await caughtUp([r2])
    await equal([r0, r1, r2])
    await r0.drain()
    expect(await client.actor(Counter, "c0").read()).toBe(735)
    expect(client.counts.strangers).toBe(0)
  })

  it("that is drained leaves the others at work, and can be drained again", async () => {
    await using stack = new AsyncDisposableStack()
    const hosts = await Promise.all(replicas.map((replica) => start(replica)))
    for (const running of hosts) stack.use(running)
    await using client = await connect({ servers: server.url, group })
    await hosts[1]?.drain()
    await hosts[1]?.drain()
    expect(await client.actor(Counter, "c").add(1)).toBe(1)
    expect(hosts[1]?.status.map(({ executed }) => executed)).toEqual([0, 0])
  })

  it("halts when its log was deleted and made again, and says why", async () => {
    const events: Array<HostEvent> = []
    await using r0 = await start("r0", { onEvent: (event) => events.push(event) })
    await using connection = await openConnection({ servers: server.url, name: "vandal" })
    await caughtUp([r0])
    await connection.nats.request(`$JS.API.STREAM.DELETE.LOG_${group}_1`)
    await using r1 = await start("r1")
    await expect.poll(() => r0.live, soon).toBe(false)
    expect(r1.live).toBe(true)
    expect(r0.status.map(({ halted }) => halted?.reason)).toEqual([undefined, "log-recreated"])
    const halted = events.filter(({ event }) => event === "halted")
    expect(halted).toMatchObject([{ partition: 1, reason: "log-recreated", applied: 0 }])
  })
})

describe("a host is refused", () => {
  it.each<readonly [why: string, options: Partial<HostOptions>, kind: unknown, complaint: RegExp]>([
    ["without actors", { actors: [] }, TypeError, /a host needs at least one actor class in `actors`/],
    ["as none of the replicas that it makes", { replica: "r9" }, TypeError, /r9 is none of .* r0, r1, r2/],
    ["with a name twice", { create: { replicas: ["r0", "r0"] } }, TypeError, /a name of their own.* r0, r0/],
    ["under a name that is none", { replica: "r 0" }, TypeError, /replica id "r 0" must be 1 to 64 letters/],
    ["with two classes of one name", { actors: [Counter, LyingCounter] }, DefinitionError, /already that of/],
    ["with an undecorated class", { actors: [Map] }, DefinitionError, /Map: it has no @Replicated decorator/],
  ])("%s, and nothing is made", async (_, options, kind, complaint) => {
    const error = await rejection(start("r0", options))
    expect(error).toBeInstanceOf(kind)
    expect(error.message).toMatch(complaint)
    await expect(connect({ servers: server.url, group })).rejects.toBeInstanceOf(UnknownGroup)
  })

  it("with a class that needs more replicas than the group has", async () => {
    const error = await rejection(start("r0", { actors: [Counter, Wide] }))
    expect(error).toBeInstanceOf(DefinitionError)
    expect(error.message).toMatch(/^Wide: its mode needs 5 replicas, and the group g\d+ has 3\./)
  })

  it("where the group is another one, or is not there", async () => {
    await expect(join("r0")).rejects.toBeInstanceOf(UnknownGroup)
    await using r0 = await start("r0")
    expect(r0.group).toMatchObject({ replicas, partitions: 2 })
    const wrong: ReadonlyArray<readonly [find: () => Promise<Host>, complaint: RegExp]> = [
      [() => start("r0", { create: { replicas: ["r0", "r1"] } }), /replicas r0,r1,r2, and r0,r1 was/],
      [() => start("r0", { create: { replicas, partitions: 3 } }), /partitions 2, and 3 was asked for/],
      [
        () => join("r9"),
        /exists with replicas r0,r1,r2, and r9 was asked for: use one of them, or say .*`standby`/,
      ],
    ]
    for (const [find, complaint] of wrong) {
      const error = await rejection(find())
      expect(error).toBeInstanceOf(GroupMismatch)
      expect(error.message).toMatch(complaint)
    }
  })

  it("where no server runs, quickly", async () => {
    const begun = performance.now()
    await expect(start("r0", { servers: "nats://127.0.0.1:1" })).rejects.toBeInstanceOf(LogUnavailable)
    expect(performance.now() - begun).toBeLessThan(1000)
  })

  it("in production on a log with one copy, unless that is accepted by name", async () => {
    const error = await rejection(start("r0", { environment: "production" }))
    expect(error).toBeInstanceOf(UnsafeSetting)
    expect(error.message).toMatch(/num_replicas is 1 and must be 3 or 5.*accept "single-copy-log"/)
    await using r0 = await start("r0", { environment: "production", accept: ["single-copy-log"] })
    expect(r0.live).toBe(true)
  })
})

describe("replicas", () => {
  it("follow the log on after its server was killed", async () => {
    await using stack = new AsyncDisposableStack()
    const hosts = await Promise.all(replicas.map((replica) => start(replica)))
    for (const running of hosts) stack.use(running)
    await using client = await connect({ servers: server.url, group })
    const counter = client.actor(Counter, "c")
    await counter.add(1)
    await server.kill()
    const waiting = counter.add(1)
    await server.restart()
    expect(await waiting).toBe(2)
    await equal(hosts)
    expect(hosts.map(({ live }) => live)).toEqual([true, true, true])
  })
})
