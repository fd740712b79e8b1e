import {
  type ActorClass,
  type ActorContext,
  Command,
  decodeResult,
  define,
  encodeArguments,
  type Member,
  Query,
  Replicated,
} from "@lockstep/actor"
import { bytesOf, decode, InvalidArgument, type Slice } from "@lockstep/core"
import type { StandardSchemaV1 } from "@standard-schema/spec"
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { mode } from "./stage.ts"

const Owner = Schema.toStandardSchemaV1(Schema.String.check(Schema.isMinLength(1)))
const Amount = Schema.toStandardSchemaV1(Schema.BigInt.check(Schema.isGreaterThanBigInt(0n)))
const Filter = z.object({ since: z.date(), tags: z.array(z.string().min(2)) })
const Known = z.string().refine(async (name) => name !== "mallory", "nobody knows mallory")

@Replicated({ name: "bank/Account", version: 1, mode })
class Account {
  @Command({ args: [Owner, Amount] })
  deposit(owner: string, amount: bigint, context: ActorContext): string {
    return `${owner}${amount}${context.now}`
  }

  @Query({ args: [Filter] })
  total(filter: { since: Date; tags: Array<string> }): number {
    return filter.tags.length
  }

  @Command({ args: [z.number().default(7), z.string().trim().optional(), z.coerce.number()] })
  convert(amount: number, note: string | undefined, limit: number): string {
    return `${amount}${note}${limit}`
  }

  @Command({ args: [z.number(), z.string().optional()] })
  withdraw(amount: number, note?: string): string {
    return `${amount}${note}`
  }

  @Command({ args: [Known, Amount] })
  open(owner: string, amount: bigint): string {
    return `${owner}${amount}`
  }

  @Command()
  bare(amount: number, name: string, open: boolean, big: bigint): string {
    return `${amount}${name}${open}${big}`
  }

  @Command()
  data(data: unknown, context: ActorContext): boolean {
    return data === context.key
  }

  @Query({ returns: z.object({ owner: z.string() }) })
  owner(): { owner: string } {
    return { owner: "alice" }
  }

  @Query({ returns: Known })
  known(): string {
    return "alice"
  }
}

describe("arguments that fit", () => {
  it("are encoded, as their schemas leave them", () => {
    expect(sent("deposit", "alice", 5n)).toEqual(["alice", 5n])
    const since = new Date(0)
    expect(sent("total", { since, tags: ["ab"], unknown: 1 })).toEqual([{ since, tags: ["ab"] }])
    expect(sent("convert", undefined, "  a b ", "12")).toEqual([7, "a b", 12])
  })

  it("may be left out at the end where the schema takes undefined", () => {
    expect(sent("withdraw", 1)).toEqual([1, undefined])
    expect(sent("withdraw", 1, "rent")).toEqual([1, "rent"])
    expect(refusal("withdraw")).toMatch(/^bank\/Account\/withdraw: argument 1: .*number/)
  })

  it("are encoded after asynchronous schemas agreed, at once after others", async () => {
    const encoded = encodeArguments(define(Account), member("open"), ["alice", 5n])
    expect(encoded).toBeInstanceOf(Promise)
    expect(decode(bytesOf(await encoded))).toEqual(["alice", 5n])
  })

  it("are what they were at the call, whatever the caller does to them later", () => {
    const tags = ["ab"]
    const encoded = encodeArguments(define(Account), member("data"), [tags])
    tags.push("cd")
    expect(decode(bytesOf(encoded as Slice))).toEqual([["ab"]])
  })
})

describe("arguments that do not fit are refused before anything is sent", () => {
  it("with the method, the argument and the path in it, by Effect Schema", () => {
    expect(refusal("deposit", "", 5n)).toMatch(/^bank\/Account\/deposit: argument 1: .*at least 1/)
    expect(refusal("deposit", "alice", -5n)).toMatch(/^bank\/Account\/deposit: argument 2: .*greater than 0n/)
    expect(refusal("deposit", "alice", 5)).toMatch(/^bank\/Account\/deposit: argument 2: .*bigint/)
  })

  it("with the method, the argument and the path in it, by Zod", () => {
    expect(refusal("total", { since: "yesterday", tags: [] })).toMatch(
      /^bank\/Account\/total: argument 1: since: Invalid input: expected date/,
    )
    expect(refusal("total", { since: new Date(0), tags: ["ab", "c"] })).toMatch(
      /argument 1: tags\.1: Too small/,
    )
    expect(refusal("total", { tags: "ab" })).toMatch(
      /argument 1: since: .*; tags: Invalid input: expected array/,
    )
  })

  it("by asynchronous schemas, and by synchronous ones beside them", async () => {
    await expect(encodeArguments(define(Account), member("open"), ["mallory", 5n])).rejects.toThrow(
      "bank/Account/open: argument 1: nobody knows mallory",
    )
    await expect(encodeArguments(define(Account), member("open"), ["alice", 0n])).rejects.toThrow(
      /bank\/Account\/open: argument 2: .*greater than 0n/,
    )
  })

  it("when there are too many or too few", () => {
    expect(refusal("deposit", "alice", 5n, "extra")).toContain("deposit: takes 2 arguments, not 3")
    expect(refusal("deposit", "alice")).toMatch(/deposit: argument 2: /)
    expect(refusal("bare", 1, "a", true, 1n, "extra")).toContain("bare: takes at most 4 arguments, not 5")
    expect(refusal("bare", 1, "a", true)).toContain("bare: takes at least 4 arguments, not 3")
    expect(refusal("owner", 1)).toContain("owner: takes at most 0 arguments, not 1")
  })

  it("without schemas, by what the compiler recorded of primitives", () => {
    expect(sent("bare", 1, "a", true, 1n)).toEqual([1, "a", true, 1n])
    expect(refusal("bare", "1", "a", true, 1n)).toContain("bare: argument 1 is a string, not a number")
    expect(refusal("bare", 1, 2, true, 1n)).toContain("bare: argument 2 is a number, not a string")
    expect(refusal("bare", 1, "a", 0, 1n)).toContain("bare: argument 3 is a number, not a boolean")
    expect(refusal("bare", 1, "a", true, 1)).toContain("bare: argument 4 is a number, not a bigint")
    expect(sent("bare", null, undefined, true, 1n)).toEqual([null, undefined, true, 1n]) // the hint knows no null
  })
})

describe("arguments that are no data are refused, with their path", () => {
  class Money {
    cents = 1
  }
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  it.each([
    ["a function", { callback: () => 1 }, /^bank\/Account\/data: arguments\[0\]\.callback is a function/],
    ["a symbol", [Symbol("x")], /^bank\/Account\/data: arguments\[0\]\[0\] is a symbol/],
    ["a symbol as a key", { [Symbol("x")]: 1 }, /^bank\/Account\/data: arguments\[0\] has a symbol as a key/],
    ["an instance of a class", new Map([["m", new Money()]]), /: arguments\[0\]\.get\("m"\) .*Money/],
    ["a cycle", cycle, /: arguments\[0\]\.self\.self.* is nested deeper than 64 levels, or cyclic/],
    ["a promise", Promise.resolve(1), /: arguments\[0\] .*Promise/],
    ["an error", new Error("x"), /: arguments\[0\] .*Error/],
  ])("%s", (_, value, expected) => {
    expect(refusal("data", value)).toMatch(expected)
  })

  it("though a schema let them pass", () => {
    const anything = alone({ args: [z.any()] })
    expect(() => encodeArguments(define(anything), member("call", anything), [() => 1])).toThrow(
      "Alone/call: arguments[0] is a function",
    )
  })
})

describe("a result", () => {
  it("is what its `returns` schema makes of it, or what was decided where there is none", () => {
    expect(decodeResult(define(Account), member("owner"), { owner: "bob", extra: 1 })).toEqual({
      owner: "bob",
    })
    expect(decodeResult(define(Account), member("total"), 5)).toBe(5)
  })

  it("that its `returns` schema refuses is an error that says that the command was executed", async () => {
    const expected =
      "bank/Account/owner was executed, and returned what its own `returns` schema refuses: owner: "
    expect(() => decodeResult(define(Account), member("owner"), { owner: 1 })).toThrow(expected)
    await expect(decodeResult(define(Account), member("known"), "alice")).resolves.toBe("alice")
    await expect(decodeResult(define(Account), member("known"), "mallory")).rejects.toThrow(
      "bank/Account/known was executed, and returned what its own `returns` schema refuses: nobody knows mallory",
    )
  })
})

describe("a complaint", () => {
  it("shows the path of an issue whose parts are objects, as the specification allows", () => {
    const issue = { message: "too small", path: [{ key: "items" }, 3, { key: "price" }] }
    const schema: StandardSchemaV1<number> = {
      "~standard": { version: 1, vendor: "test", validate: () => ({ issues: [issue, { message: "bad" }] }) },
    }
    const refusing = alone({ args: [schema] })
    expect(() => encodeArguments(define(refusing), member("call", refusing), [1])).toThrow(
      "Alone/call: argument 1: items.3.price: too small; bad. The command was not executed; correct the call.",
    )
  })
})

function member(name: string, actorClass: ActorClass = Account): Member {
  const found = define(actorClass).members.get(name)
  if (found === undefined) throw new Error(name)
  return found
}

/** What reaches the log. */
function sent(name: string, ...args: ReadonlyArray<unknown>): unknown {
  const encoded = encodeArguments(define(Account), member(name), args)
  if (encoded instanceof Promise) throw new Error("no schema is asynchronous")
  return decode(bytesOf(encoded))
}

function refusal(name: string, ...args: ReadonlyArray<unknown>): string {
  try {
    return `accepted: ${String(sent(name, ...args))}`
  } catch (error) {
    return error instanceof InvalidArgument ? error.message : `no InvalidArgument, but ${String(error)}`
  }
}

/** A class with one method of one parameter. */
function alone(options: { readonly args: readonly [StandardSchemaV1] }): ActorClass {
  @Replicated({ name: "Alone", version: 1, mode })
  class Alone {
    @Command(options as { readonly args: readonly [StandardSchemaV1<never>] })
    call(value: never): boolean {
      return value === undefined
    }
  }
  return Alone
}
