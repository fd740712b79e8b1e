import {
  type Client,
  connect,
  Diverged,
  type Host,
  host,
  NoQuorum,
  OutcomeUnknown,
  Overloaded,
  SessionExpired,
} from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { Book, Counter, LyingCounter, Turnstile } from "./actors.ts"
import { caughtUp, equal } from "./hosts.ts"
import { rejection } from "./rejection.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })
const replicas = ["r0", "r1", "r2"]

let server: Server
let hosts: Array<Host>
let client: Client

beforeEach(async () => {
  server = await startServer()
  hosts = await Promise.all(replicas.map((replica) => start(replica)))
  await caughtUp(hosts)
  client = await connect({ servers: server.url, limits: { deadlineMs: 1500, undecidedMax: 2 } })
})

afterEach(async () => {
  await client.close()
  await Promise.all(hosts.map((running) => running.drain()))
  await server.stop()
})

function start(replica: string, actors = [Counter, Turnstile]): Promise<Host> {
  return host({ servers: server.url, actors, replica, create: { replicas }, determinism: "guarded" })
}

async function stop(...indexes: ReadonlyArray<number>): Promise<void> {
  for (const index of indexes) await hosts[index]?.drain()
}

/** The error that a call ends with, as the class that it must be. */
async function undecided<Kind extends Error>(
  kind: new (...args: Array<never>) => Kind,
  call: Promise<unknown>,
): Promise<Kind> {
  const error = await rejection(call)
  if (error instanceof kind) return error
  throw new TypeError(`a ${kind.name} was expected, not ${error.name}: ${error.message}`)
}

describe("a call that too few replicas answer", () => {
  it("ends in NoQuorum, which says who answered and who was not heard", async () => {
    const counter = client.actor(Counter, "c")
    expect(await counter.add(1)).toBe(1)
    await stop(1, 2)
    const error = await undecided(NoQuorum, counter.add(2))
    expect(error).toMatchObject({ needed: 2, missing: ["r1", "r2"], tookEffect: "unknown" })
    expect(error.testimonies).toMatchObject([
      { replica: "r0", seq: error.seq, outcome: { _tag: "Returned", value: 3 } },
    ])
    expect(error.message).toMatch(/r0 answered 3 .*at \d+, r1 was not heard, r2 was not heard\./)
    expect(error.message).toMatch(/retry\(error\) waits for its answer again/)
  })

  it("is answered on retry, once the replicas are back, and was executed once", async () => {
    const counter = client.actor(Counter, "c")
    await counter.add(1)
    await stop(1, 2)
    const error = await undecided(NoQuorum, counter.add(2))
    hosts.push(await start("r1"))
    expect(await client.retry(error)).toBe(3)
    expect(await counter.read()).toBe(3)
  })

  it("can be retried as long as the client remembers it, and is a SessionExpired afterwards", async () => {
    const counter = client.actor(Counter, "c")
    await counter.add(1)
    await stop(1, 2)
    const [first, , third] = await Promise.all(
      [0, 1, 2].map(async (turn) => {
        for (let i = 0; i < turn; i++) await Promise.resolve() // a turn of its own is a batch of its own
        return undecided(NoQuorum, counter.add(2))
      }),
    )
    if (first === undefined || third === undefined) throw new TypeError("three calls were made")
    hosts.push(await start("r1"))
    await expect(client.retry(first)).rejects.toBeInstanceOf(SessionExpired)
    await expect(client.retry(first)).rejects.toMatchObject({ tookEffect: "unknown" })
    expect(await client.retry(third)).toBe(7)
  })
})

describe("a call while the log is away", () => {
  it("ends in OutcomeUnknown, and retry settles it once the log is back", async () => {
    const counter = client.actor(Counter, "c")
    await counter.add(1)
    await server.kill()
    const error = await undecided(OutcomeUnknown, counter.add(2))
    expect(error).toMatchObject({ tookEffect: "unknown", missing: replicas, testimonies: [] })
    expect(error.message).toMatch(
      /The log did not confirm the command in time.*r0 was not heard.*retry\(error\)/,
    )
    await server.restart()
    await expect.poll(() => client.retry(error).catch(() => "not yet"), { timeout: 15_000 }).toBe(3)
    expect(await counter.read()).toBe(3)
  })

  it("ends in Overloaded where nothing was sent yet", async () => {
    await server.kill()
    const error = await undecided(Overloaded, client.actor(Counter, "c").add(2))
    expect(error.tookEffect).toBe("no")
    await server.restart()
    await expect
      .poll(
        () =>
          client
            .actor(Counter, "c")
            .add(1)
            .catch(() => "not yet"),
        { timeout: 15_000 },
      )
      .toBe(1)
  })
})

describe("a log that is full", () => {
  it("takes no command, and the caller is told that it was not executed", async () => {
    const create = { replicas: ["r0", "r1", "r2"], log: { maxBytes: 100_000 } }
    const small = { servers: server.url, group: "small", actors: [Book] }
    hosts.push(...(await Promise.all(replicas.map((replica) => host({ ...small, replica, create })))))
    await using caller = await connect({ servers: server.url, group: "small" })
    let pages = 0
    const fill = async () => {
      for (;;) pages = await caller.actor(Book, "b").write("x".repeat(20_000))
    }
    const error = await undecided(Overloaded, fill())
    expect(error.tookEffect).toBe("no")
    expect(error.message).toMatch(
      /^The log refused the command: the log is full: it must be truncated, or given more room\. The command was not/,
    )
    await equal(hosts.slice(-3))
    expect(hosts.at(-1)?.status[0]?.executed).toBe(pages / 20_000)
  })
})

describe("replicas that disagree", () => {
  it("all with each other end the call in Diverged, which says who answered what", async () => {
    const error = await undecided(Diverged, client.actor(Turnstile, "t").ticket())
    expect(error).toMatchObject({ tookEffect: "unknown", missing: [] })
    expect(error.testimonies.map(({ replica }) => replica).toSorted()).toEqual(replicas)
    expect(error.message).toMatch(/r0 answered \d+ .*at \d+.*an operator must look/)
    expect(await client.actor(Counter, "c").add(1)).toBe(1)
  })

  it("are outvoted where one is alone, and the caller is told of it", async () => {
    await stop(2)
    hosts.push(await start("r2", [LyingCounter, Turnstile]))
    await caughtUp(hosts)
    const dissents: Array<string> = []
    const onDissent = (dissent: { readonly replica: string }) => dissents.push(dissent.replica)
    await using caller = await connect({ servers: server.url, onDissent })
    expect(await caller.actor(Counter, "c").add(1)).toBe(1)
    await expect.poll(() => dissents, { timeout: 10_000 }).toEqual(["r2"])
    expect(caller.counts.dissents).toEqual(new Map([["r2", 1]]))
  })
})
