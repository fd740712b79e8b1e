import { type AddressInfo, createServer } from "node:net"
import {
  ActorError,
  type Client,
  connect,
  DefinitionError,
  host,
  InvalidArgument,
  LogUnavailable,
  Overloaded,
  type Reads,
  UnknownGroup,
} from "lockstep"
import { type Development, develop } from "lockstep/develop"
import { openConnection } from "@lockstep/nats"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import {
  actors,
  Book,
  Counter,
  Ghost,
  NewerCounter,
  Primary,
  Purse,
  Quick,
  Hasty,
  Synchronous,
  Wide,
} from "./actors.ts"
import { caughtUp, equal } from "./hosts.ts"
import { rejection } from "./rejection.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })
const soon = { timeout: 10_000 }

let group: Development
beforeAll(async () => {
  group = await develop(actors, { partitions: 3 })
  await caughtUp(group.hosts)
})
afterAll(() => group.close())

const client = (options: Partial<Parameters<typeof connect>[0]> = {}) =>
  connect({ servers: group.servers, ...options })

describe("a client", () => {
  it("calls actors of several types, in several partitions, and leaves the replicas equal", async () => {
    await using caller = await client()
    const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
    const answers = await Promise.all(
      keys.flatMap((key, i) => [
        caller.actor(Counter, key).add(i),
        caller.actor(Counter, key).add(i),
        caller.actor(Purse, key).put(BigInt(i) + 1n),
        caller.actor(Quick, key).add(key),
      ]),
    )
    expect(answers).toEqual(keys.flatMap((key, i) => [i, 2 * i, BigInt(i) + 1n, [key]]))
    await equal(group.hosts)
    expect(group.hosts[0]?.status.every((partition) => partition.executed > 0)).toBe(true)
  })

  it("sends what was called in one turn together, and counts the votes", async () => {
    await using caller = await client()
    const counter = caller.actor(Counter, "together")
    const sums = await Promise.all(Array.from({ length: 500 }, () => counter.add(1)))
    expect(sums).toEqual(Array.from({ length: 500 }, (_, i) => i + 1))
    expect(caller.counts).toMatchObject({ batches: 1, commands: 500, strangers: 0 })
    // three votes for the session, three for the batch
    await expect.poll(() => caller.counts.matched, soon).toBeGreaterThanOrEqual(6)
    expect(caller.counts.dissents.size).toBe(0)
  })

  it("shares the state of an actor with other clients, in one order", async () => {
    await using one = await client()
    await using other = await client()
    const calls = Array.from({ length: 20 }, () =>
      [one, other].map((caller) => caller.actor(Counter, "shared").add(1)),
    )
    const sums = await Promise.all(calls.flat())
    expect(sums.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
    expect(await one.actor(Counter, "shared").read()).toBe(40)
  })

  it("describes the group that it is connected to", async () => {
    await using caller = await client()
    expect(caller.group).toMatchObject({
      group: "main",
      rosters: Array.from({ length: 3 }, () => ({ epoch: 1, voters: ["r0", "r1", "r2"], standbys: [] })),
      replicas: ["r0", "r1", "r2"],
      partitions: 3,
    })
    expect(new Set(caller.group.logIds).size).toBe(3)
  })
})

describe("large values", () => {
  it.each([300_000, 900_000])(
    "of %i bytes come from one replica, and digests from the others",
    async (size) => {
      await using caller = await client()
      await using listener = await openConnection({ servers: group.servers, name: "listener" })
      const votes: Array<number> = []
      listener.subscribe("vote.>", (_, vote) => votes.push(vote.length))
      await listener.flush()
      const text = await caller.actor(Book, "large").print(size)
      expect([text.length, new Set(text).size]).toEqual([size, 1])
      // three votes for the session, and two of the three for the text, are small
      const small = () => votes.filter((bytes) => bytes < 1000)
      await expect.poll(() => small().length, soon).toBeGreaterThanOrEqual(5)
      await expect.poll(() => votes.length - small().length, soon).toBeGreaterThan(0)
      expect(caller.counts.dissents.size).toBe(0)
    },
  )

  it("are taken as arguments up to a limit, which the error tells", async () => {
    await using caller = await client()
    const book = caller.actor(Book, "large arguments")
    expect(await book.write("x".repeat(500_000))).toBe(500_000)
    const error = await rejection(book.write("x".repeat(600_000)))
    expect(error).toBeInstanceOf(InvalidArgument)
    const [, limit] = /take 6\d{5} bytes, and (\d+) are allowed/.exec(error.message) ?? []
    expect(await book.write("x".repeat(Number(limit) - 16))).toBe(500_000 + Number(limit) - 16)
  })

  it("are refused as results beyond a limit, which the error tells", async () => {
    await using caller = await client()
    await expect(caller.actor(Book, "b").print(2_000_000)).rejects.toMatchObject({
      _tag: "ActorError",
      code: "ResultTooLarge",
      message: expect.stringMatching(/2\d{6} bytes is over the limit of 1048576 bytes/),
    })
  })
})

describe("what an actor throws", () => {
  it("arrives as an ActorError with its code and its data", async () => {
    await using caller = await client()
    const purse = caller.actor(Purse, "thrifty")
    await purse.put(3n)
    const error = await rejection(purse.take(5n))
    expect(error).toBeInstanceOf(ActorError)
    expect(error).toMatchObject({
      _tag: "ActorError",
      code: "TooFew",
      data: { coins: 3n, wanted: [5n] },
      tookEffect: "yes",
      message: 'test/Purse("thrifty").take refused: TooFew',
    })
    expect(await purse.take(1n)).toBe(2n)
  })

  it("and is no ActorError arrives by its name, without its message: the operator has that", async () => {
    await using caller = await client()
    const error = await rejection(caller.actor(Purse, "clumsy").stumble())
    expect(error).toMatchObject({ _tag: "ActorError", code: "RangeError", data: null })
    expect(error.message).not.toContain("secret")
  })
})

describe("a wrong call", () => {
  it("of an actor or a method that the replicas do not host is an InvalidArgument", async () => {
    await using caller = await client()
    await expect(caller.actor(Ghost, "g").boo()).rejects.toMatchObject({
      _tag: "InvalidArgument",
      target: 'test/Ghost("g").boo',
      tookEffect: "no",
      message: expect.stringContaining("this group hosts no test/Ghost/boo"),
    })
    await expect(caller.actor(NewerCounter, "c").reset()).rejects.toMatchObject({
      _tag: "InvalidArgument",
      message: expect.stringContaining("this group hosts no test/Counter/reset"),
    })
  })

  it.each([
    ["too long", "k".repeat(257)],
    ["empty", ""],
    ["no text in UTF-8", "\uD800"],
  ])("with a key that is %s is an InvalidArgument", async (_, key) => {
    await using caller = await client()
    expect(() => caller.actor(Counter, key)).toThrow(InvalidArgument)
    expect(() => caller.actor(Counter, key)).toThrow(/key of an actor is a text of 1 to 256 characters/)
  })

  it.each<readonly [what: string, call: (on: Callable) => Promise<unknown>, complaint: RegExp]>([
    ["of another type", (on) => on.add("1"), /^test\/Counter\/add: argument 1 is a string, not a number\. /],
    [
      "that are too many",
      (on) => on.add(1, 2, 3),
      /^test\/Counter\/add: takes at most 1 arguments, not 3\. /,
    ],
    ["that its schema refuses", (on) => on.put(-1n), /^test\/Purse\/put: argument 1: /],
    ["with a function in them", (on) => on.bind({ a: [1, () => 2] }), /arguments\[0\]\.a\[1\] is a function/],
    ["with a class in them", (on) => on.bind({ a: new Purse() }), /arguments\[0\]\.a is an? .*Purse/],
    ["with a symbol in them", (on) => on.bind({ a: Symbol("b") }), /arguments\[0\]\.a is a symbol/],
    ["that are cyclic", (on) => on.bind(cyclic()), /is nested deeper than 64 levels, or cyclic/],
  ])("with arguments %s is an InvalidArgument, and is not sent", async (_, call, complaint) => {
    await using caller = await client()
    const error = await rejection(call(callable(caller)))
    expect(error).toBeInstanceOf(InvalidArgument)
    expect(error.message).toMatch(complaint)
    expect(error.message).toMatch(/The command was not executed; correct the call\.$/)
    expect(caller.counts.batches).toBe(0)
  })

  type Callable = Record<"add" | "put" | "bind", (...args: ReadonlyArray<unknown>) => Promise<unknown>>

  /** Methods of some actors, as JavaScript would call them. */
  function callable(caller: Client): Callable {
    const methods = { ...caller.actor(Counter, "c"), ...caller.actor(Purse, "p"), ...caller.actor(Book, "b") }
    return methods as unknown as Callable
  }

  function cyclic(): object {
    const snake: { tail?: object } = {}
    snake.tail = snake
    return snake
  }

  it("to a class that needs more replicas than there are is told before anything is sent", async () => {
    await using caller = await client()
    expect(() => caller.actor(Wide, "w")).toThrow(
      /Wide: its mode needs 5 replicas, and the group main has 3\. Use a larger group/,
    )
    expect(() => caller.actor(Map, "m")).toThrow(/Map: it has no @Replicated decorator/)
  })
})

describe("reads", () => {
  it("that may be stale are refused where every query is ordered, when the client is made", async () => {
    await using caller = await client()
    const make = (reads: Reads) => () => caller.actor(Counter, "read", { reads })
    expect(make({ maxStalenessMs: 100 })).toThrow(TypeError)
    expect(make({ maxStalenessMs: 100 })).toThrow(
      /reads of Counter cannot be stale: its mode is state-machine, in which every query has a place in the log's order/,
    )
    expect(make({ maxStalenessMs: -1 })).toThrow(/maxStalenessMs is -1, and must be a number of milliseconds/)
    expect(await make("linearizable")().add(2)).toBe(2)
    expect(await make("linearizable")().read()).toBe(2)
  })
})

describe("classes of two modes", () => {
  it("are not of one group where the modes are of different kinds", async () => {
    await using caller = await client()
    caller.actor(Counter, "c")
    caller.actor(Quick, "q") // of the same kind
    expect(() => caller.actor(Primary, "p")).toThrow(DefinitionError)
    expect(() => caller.actor(Primary, "p")).toThrow(
      /^Primary: its mode is primary-backup, and that of Counter, a class of the same group, is state-machine\. Give the classes of a group one mode/,
    )
  })

  it("are not either where one replica executes, and acknowledges by two rules", async () => {
    await using caller = await client()
    caller.actor(Primary, "p")
    expect(() => caller.actor(Synchronous, "s")).toThrow(
      /^Synchronous: its mode is primary-backup with .*replication synchronous.*, and that of Primary, .* is .*replication asynchronous/,
    )
    expect(() => caller.actor(Hasty, "h")).toThrow(
      /^Hasty: .*leaseMs 500.*, and that of Primary, .*leaseMs 1000/,
    )
  })

  it("are refused by a host before anything is made", async () => {
    const options = {
      servers: group.servers,
      group: "mixed",
      replica: "r0",
      create: { replicas: ["r0", "r1", "r2"] },
    }
    const error = await rejection(host({ ...options, actors: [Counter, Quick, Primary] }))
    expect(error).toBeInstanceOf(DefinitionError)
    expect(error.message).toMatch(/^Primary: its mode is primary-backup, and that of Counter/)
    await expect(client({ group: "mixed" })).rejects.toBeInstanceOf(UnknownGroup)
  })
})

describe("too many calls at once", () => {
  it("are refused at the limit of commands, and the others are answered", async () => {
    await using caller = await client({ limits: { commandsMax: 10 } })
    const counter = caller.actor(Counter, "crowd")
    const results = await Promise.allSettled(Array.from({ length: 15 }, () => counter.add(1)))
    const refused = results.flatMap((result) =>
      result.status === "rejected" ? [result.reason as Error] : [],
    )
    expect(refused).toHaveLength(5)
    for (const error of refused) expect(error).toBeInstanceOf(Overloaded)
    expect(refused[0]).toMatchObject({ tookEffect: "no", message: expect.stringContaining("10 commands") })
    expect(await counter.read()).toBe(10)
  })

  it("are refused at the limit of bytes", async () => {
    await using caller = await client({ limits: { bytesMax: 100_000 } })
    const book = caller.actor(Book, "heavy")
    const first = book.write("x".repeat(90_000))
    await expect(book.write("x".repeat(90_000))).rejects.toMatchObject({ _tag: "Overloaded" })
    expect(await first).toBe(90_000)
  })
})

describe("a connection", () => {
  it("to nobody fails quickly, and says where nobody was", async () => {
    const start = performance.now()
    const error = await rejection(connect({ servers: "nats://127.0.0.1:1" }))
    expect(error).toBeInstanceOf(LogUnavailable)
    expect(error.message).toContain("nats://127.0.0.1:1")
    expect(performance.now() - start).toBeLessThan(1000)
  })

  it("to somebody who does not answer fails within a few seconds", async () => {
    const mute = createServer()
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve))
    const { port } = mute.address() as AddressInfo // it listens on TCP
    await expect(connect({ servers: `nats://127.0.0.1:${port}` })).rejects.toBeInstanceOf(LogUnavailable)
    mute.close()
  })

  it("to a group that there is not names the ones that there are", async () => {
    const error = await rejection(client({ group: "mian" }))
    expect(error).toBeInstanceOf(UnknownGroup)
    expect(error.message).toMatch(/no group "mian" on these servers \(there are main\)/)
  })

  it("to a group whose name is none is refused", async () => {
    await expect(client({ group: "a.b" })).rejects.toThrow(/group name "a\.b" must be 1 to 64 letters/)
  })
})
