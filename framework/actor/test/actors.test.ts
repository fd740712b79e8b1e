import {
  type ActorContext,
  BATCH_RESULT_BYTES_MAX,
  Command,
  define,
  Query,
  Replicated,
  RESULT_BYTES_MAX,
} from "@lockstep/actor"
import { ActorError, ByteReader, ByteWriter, decodeOutcomes, encode, type Outcome } from "@lockstep/core"
import { beforeEach, describe, expect, it } from "vitest"
import { z } from "zod"
import { mode, returned, Stage, START_MS } from "./stage.ts"

class Overdrawn extends Error {
  override readonly name = "Overdrawn"
}

@Replicated({ name: "bank/Account", version: 1, mode })
class Account {
  balance = 0
  entries: Array<{ readonly at: number; readonly amount: number }> = []
  lists: Array<unknown> = []

  @Command()
  deposit(amount: number, context: ActorContext): number {
    this.balance = this.#add(amount)
    this.entries.push({ at: context.now, amount })
    return this.balance
  }

  @Command()
  withdraw(amount: number): number {
    this.balance -= amount
    if (this.balance < 0) throw new ActorError("Overdrawn", { balance: this.balance })
    return this.balance
  }

  /** What it is given is no schema's business here: the outcome is. */
  @Command({ args: [z.unknown()] })
  keep(value: unknown): number {
    return this.lists.push(value)
  }

  @Query()
  history(): ReadonlyArray<unknown> {
    return this.entries
  }

  @Query()
  where(context: ActorContext): ReadonlyArray<unknown> {
    return [context.key, context.seq, context.now, context.caller, context.random(), context.uuid()]
  }

  @Query()
  text(length: number): string {
    return "x".repeat(length)
  }

  @Command({ args: [z.string()] })
  misbehave(how: string): unknown {
    this.balance += 100
    return misbehaviour[how]?.()
  }

  #add(amount: number): number {
    return this.balance + amount
  }
}

const proxy = new Proxy({}, { getPrototypeOf: () => raise(new Error("getPrototypeOf")) })

const misbehaviour: Readonly<Record<string, () => unknown>> = {
  throwError: () => raise(new Overdrawn("for the operator's eyes")),
  throwText: () => raise("text"),
  throwNothing: () => raise(undefined),
  throwProxy: () => raise(proxy),
  throwUnsupported: () => raise(new ActorError("Bad", { callback: () => 1 })),
  throwNumber: () => raise(new ActorError({ code: 7 as unknown as string })),
  throwBadName: () => raise(Object.defineProperty(new Error("x"), "name", { get: () => raise("name") })),
  promise: () => Promise.reject(new Error("nobody waits for this")),
  thenable: () => ({ then: () => 1 }), // oxlint-disable-line unicorn/no-thenable
  function: () => () => 1,
  instance: () => new Overdrawn("x"),
  proxy: () => proxy,
  getter: () => Object.defineProperty({}, "then", { get: () => raise(new Overdrawn("then")) }), // oxlint-disable-line unicorn/no-thenable
  clock: () => Date.now(),
  swallowed: () => {
    try {
      return Date.now()
    } catch {
      return 0
    }
  },
}

describe.each(["guarded", "checked"] as const)("a command, %s,", (determinism) => {
  let stage: Stage
  beforeEach(() => void (stage = new Stage(determinism, Account)))

  it("creates its actor on first use; every key has its own", () => {
    expect(stage.actors.size).toBe(0)
    expect(stage.callKey(Account, "alice", "deposit", 5)).toEqual(returned(5))
    expect(stage.callKey(Account, "bob", "deposit", 7)).toEqual(returned(7))
    expect(stage.callKey(Account, "alice", "deposit", 5)).toEqual(returned(10))
    expect(stage.actors.size).toBe(2)
  })

  it("knows where it runs, and its randomness is that of its place", () => {
    const [first, again] = [stage, new Stage(determinism, Account)].map((on) => on.call(Account, "where"))
    expect(first).toEqual(again)
    expect(first).toMatchObject({
      value: ["alice", 1, START_MS + 1, "client", expect.any(Number), expect.any(String)],
    })
    expect(stage.call(Account, "where")).not.toEqual(first)
  })

  it("answers a copy: a result that is part of the state does not change later", () => {
    stage.call(Account, "deposit", 5)
    const history = stage.call(Account, "history")
    stage.call(Account, "deposit", 7)
    expect(history).toEqual(returned([{ at: START_MS + 1, amount: 5 }]))
  })

  it("may keep its arguments: each command has its own", () => {
    const bytes = encode([[1, new Uint8Array([2])]])
    expect(stage.send(Account, "alice", "keep", bytes)).toEqual(returned(1))
    const { digest } = stage
    bytes.fill(0)
    expect(stage.digest).toBe(digest)
  })

  it("that throws an ActorError is answered by its code and data; what it changed before stays", () => {
    expect(stage.call(Account, "withdraw", 5)).toEqual({
      _tag: "Threw",
      code: "Overdrawn",
      data: { balance: -5 },
    })
    expect(stage.call(Account, "deposit", 0)).toEqual(returned(-5))
    expect(stage.actors.takeUncaught()).toEqual([])
  })

  it.each([
    ["throwError", "Overdrawn"],
    ["throwText", "NonError"],
    ["throwNothing", "NonError"],
    ["getter", "Overdrawn"],
  ])(
    "that throws anything else (%s) is answered by its name, and told once for the operator",
    (how, code) => {
      expect(stage.call(Account, "misbehave", how)).toEqual({ _tag: "Threw", code, data: null })
      expect(stage.actors.takeUncaught()).toMatchObject([{ target: "bank/Account/misbehave", seq: 1 }])
      expect(stage.actors.takeUncaught()).toEqual([])
      expect(stage.call(Account, "deposit", 0)).toEqual(returned(100))
    },
  )

  it.each([
    ["throwUnsupported", "ResultUnsupported", "the command threw an error whose data.callback is a function"],
    ["throwProxy", "ResultUnsupported", "the command threw an error whose code, data or name cannot be read"],
    [
      "throwBadName",
      "ResultUnsupported",
      "the command threw an error whose code, data or name cannot be read",
    ],
    ["function", "ResultUnsupported", "the command was executed, but its result is a function"],
    ["instance", "ResultUnsupported", "the command was executed, but its result "],
    ["proxy", "ResultUnsupported", "the command was executed, but its result "],
    ["promise", "AsyncCommand", "misbehave returned a promise: a command is synchronous"],
    ["thenable", "AsyncCommand", "misbehave returned a promise: a command is synchronous"],
    ["clock", "Nondeterminism", 'bank/Account("alice").misbehave at 1 called Date.now, which differs'],
    ["swallowed", "Nondeterminism", 'bank/Account("alice").misbehave at 1 called Date.now, which differs'],
  ])("that misbehaves (%s) is refused, and the actor goes on", (how, reason, said) => {
    expect(stage.call(Account, "misbehave", how)).toEqual({
      _tag: "Refused",
      reason,
      detail: expect.stringContaining(said),
    })
    expect(stage.call(Account, "deposit", 0)).toEqual(returned(100))
  })

  it("whose ActorError has a code that is no text is answered by its text", () => {
    expect(stage.call(Account, "misbehave", "throwNumber")).toEqual({
      _tag: "Threw",
      code: "7",
      data: undefined,
    })
  })

  it("whose result is too large is executed, and says so", () => {
    const fits = RESULT_BYTES_MAX - encode("x".repeat(RESULT_BYTES_MAX)).length + RESULT_BYTES_MAX - 1
    expect(stage.call(Account, "text", fits)).toMatchObject({ _tag: "Returned" })
    expect(stage.call(Account, "text", fits + 1)).toEqual({
      _tag: "Refused",
      reason: "ResultTooLarge",
      detail: expect.stringMatching(
        /^the command was executed, but its result of 1048577 bytes is over the limit of/,
      ),
    })
  })

  it("is refused when its bytes are forged", () => {
    const refused = (bytes: Buffer, member = "deposit"): string =>
      detail(stage.send(Account, "alice", member, bytes), "InvalidArgument")
    expect(refused(Buffer.from([255]))).toMatch(/^the arguments are malformed: /)
    expect(refused(Buffer.alloc(0))).toMatch(/^the arguments are malformed: /)
    expect(refused(Buffer.concat([encode([5]), Buffer.from([0])]))).toMatch(/^the arguments are malformed: /)
    expect(refused(encode({ 0: 5, length: 1 }))).toBe("the arguments are not a list")
    expect(refused(encode([1, 2, 3]))).toBe("3 arguments were given, and 1 or 2 are taken")
    expect(refused(encode([]))).toBe("0 arguments were given, and 1 or 2 are taken")
    expect(refused(encode([]), "withdraw")).toBe("0 arguments were given, and 1 are taken")
    expect(refused(encode([1, 2]), "keep")).toBe("2 arguments were given, and 1 are taken")
    expect(stage.actors.size).toBe(0)
  })
})

describe("the actors of a replica", () => {
  it("know which types and methods there are, and no more", () => {
    const { actors } = new Stage("guarded", Account)
    expect(actors.find("bank/Acount", "deposit")).toBe("UnknownActor")
    for (const member of ["depositt", "constructor", "__proto__", "toString", "#add", "balance", ""])
      expect(actors.find("bank/Account", member)).toBe("UnknownMethod")
    expect(actors.find("bank/Account", "deposit")).toMatchObject({ definition: define(Account) })
  })

  it("refuse further results of a batch that is full", () => {
    const { actors } = new Stage("guarded", Account)
    const target = actors.find("bank/Account", "text")
    if (typeof target === "string") throw new Error(target)
    const writer = new ByteWriter()
    const each = encode([RESULT_BYTES_MAX - 100])
    const alice = { key: "alice", readArgs: () => new ByteReader(each) }
    const count = BATCH_RESULT_BYTES_MAX / RESULT_BYTES_MAX + 2
    for (let index = 0; index < count; index++)
      actors.execute(writer, target, alice, {
        log: "log",
        seq: 1,
        index,
        nowMs: 0,
        caller: "client",
        session: 1,
        number: index,
      })
    const outcomes = decodeOutcomes(writer.take(), count)
    expect(outcomes.map(({ _tag }) => _tag)).toEqual([
      ...Array.from({ length: 16 }, () => "Returned"),
      "Refused",
      "Refused",
    ])
    expect(detail(outcomes[17], "ResultTooLarge")).toContain("(16777216 for a batch)")
  })

  it("keep the first hundred uncaught errors", () => {
    const stage = new Stage("checked", Account)
    for (let i = 0; i < 101; i++) stage.call(Account, "misbehave", "throwError")
    const uncaught = stage.actors.takeUncaught()
    expect([uncaught.length, uncaught[0]?.seq, uncaught[99]?.seq]).toEqual([100, 1, 100])
    expect(uncaught[0]?.error).toBeInstanceOf(Overdrawn)
  })

  it("have equal digests after equal histories, in either mode, and others after others", () => {
    const [one, other, third] = [
      new Stage("guarded", Account),
      new Stage("checked", Account),
      new Stage("guarded", Account),
    ]
    for (const stage of [one, other]) {
      stage.callKey(Account, "alice", "deposit", 5)
      stage.callKey(Account, "bob", "deposit", 7)
    }
    third.callKey(Account, "bob", "deposit", 5)
    third.callKey(Account, "alice", "deposit", 7)
    expect(one.digest).toMatch(/^[0-9a-f]{64}$/)
    expect(other.digest).toBe(one.digest)
    expect(third.digest).not.toBe(one.digest)
  })
})

describe("an async command", () => {
  it("changes nothing later: what goes on is not the actor any more", async () => {
    class Later {
      balance = 0
      entries: Array<number> = []

      async deposit(amount: number): Promise<number> {
        this.balance += amount
        await Promise.resolve()
        this.entries.push(amount)
        return (this.balance += amount)
      }

      @Query()
      get(): ReadonlyArray<unknown> {
        return [this.balance, this.entries]
      }
    }
    for (const determinism of ["guarded", "checked"] as const) {
      const Disguised = disguise(Later, "deposit")
      const stage = new Stage(determinism, Disguised)
      expect(detail(stage.call(Disguised, "deposit", 5), "AsyncCommand")).toContain(
        "deposit returned a promise",
      )
      const { digest } = stage
      await new Promise((resolve) => setTimeout(resolve, 5))
      expect(stage.digest).toBe(digest)
      expect(stage.call(Disguised, "get")).toEqual(returned([5, []]))
    }
  })
})

function detail(outcome: Outcome | undefined, reason: string): string {
  expect(outcome).toMatchObject({ _tag: "Refused", reason })
  return outcome?._tag === "Refused" ? outcome.detail : ""
}

function raise(error: unknown): never {
  throw error
}

/** A class whose async method no compiler and no definition has seen as one, as when an older target is compiled to. */
function disguise<Class extends new () => object>(original: Class, member: string): Class {
  const prototype = original.prototype as Record<string, (...args: Array<unknown>) => unknown>
  const asynchronous = prototype[member]
  if (asynchronous !== undefined)
    prototype[member] = function (this: unknown, amount: unknown) {
      return Reflect.apply(asynchronous, this, [amount])
    }
  const decorate = Command() as unknown as (target: object, member: string) => void
  decorate(prototype, member)
  Replicated({ name: "Later", version: 1, mode })(original)
  return original
}
