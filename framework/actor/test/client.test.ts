import {
  type ActorClient,
  type ActorContext,
  actorMethods,
  type Call,
  Command,
  define,
  Query,
  Replicated,
} from "@lockstep/actor"
import { bytesOf, decode, InvalidArgument, KEY_LENGTH_MAX } from "@lockstep/core"
import { describe, expect, expectTypeOf, it } from "vitest"
import { z } from "zod"
import { mode } from "./stage.ts"

@Replicated({ name: "bank/Account", version: 1, mode })
class Account {
  balance = 0

  @Command({ args: [z.number()] })
  deposit(amount: number, context: ActorContext): number {
    return context.seq + amount
  }

  @Command({ args: [z.string().refine(async (name) => name !== "mallory", "nobody knows mallory")] })
  open(owner: string): string {
    return owner
  }

  @Query()
  get(): number {
    return this.balance
  }
}

describe("the client of an actor", () => {
  it("is a plain frozen object of the methods", () => {
    const { client } = connect()
    expect(Object.getPrototypeOf(client)).toBe(Object.prototype)
    expect(Object.isFrozen(client)).toBe(true)
    expect(Object.keys(client)).toEqual(["deposit", "open", "get"])
  })

  it("can be awaited and passed through promises, because it has no then", async () => {
    const { client, calls } = connect()
    expect("then" in client).toBe(false)
    expect(await Promise.resolve(client)).toBe(client)
    expect(calls).toEqual([])
  })

  it("is typed from the class, without the context", () => {
    const { client } = connect()
    expectTypeOf<ActorClient<Account>>().toEqualTypeOf<{
      readonly deposit: (amount: number) => Promise<number>
      readonly open: (owner: string) => Promise<string>
      readonly get: () => Promise<number>
    }>()
    // @ts-expect-error: a typo does not compile
    expect(client.depositt).toBeUndefined()
    // @ts-expect-error: a field is not a method
    expect(client.balance).toBeUndefined()
    // @ts-expect-error: a number is wanted
    expectTypeOf(client.deposit).toBeCallableWith("1")
  })

  it("sends the encoded arguments with the actor's address, and resolves to the answer", async () => {
    const { client, calls } = connect("alice")
    await expect(client.deposit(5)).resolves.toBe("answer 1")
    await expect(client.open("bob")).resolves.toBe("answer 2")
    expect(
      calls.map(({ definition, member, key, args }) => [
        definition.type,
        member.name,
        key,
        decode(bytesOf(args)),
      ]),
    ).toEqual([
      ["bank/Account", "deposit", "alice", [5]],
      ["bank/Account", "open", "alice", ["bob"]],
    ])
  })

  it("sends synchronously, so that calls of one turn are in order and share a batch", () => {
    const { client, calls } = connect()
    void client.deposit(1)
    void client.get()
    expect(calls.map(({ member }) => member.name)).toEqual(["deposit", "get"])
  })
})

describe("an error of a call", () => {
  it("rejects, and nothing is sent, when an argument does not fit", async () => {
    const { methods, calls } = connect()
    await expect(rejection(() => methods["deposit"]?.("5"))).resolves.toBeInstanceOf(InvalidArgument)
    await expect(rejection(() => methods["deposit"]?.())).resolves.toBeInstanceOf(InvalidArgument)
    await expect(rejection(() => methods["get"]?.("superfluous"))).resolves.toBeInstanceOf(InvalidArgument)
    await expect(rejection(() => methods["open"]?.("mallory"))).resolves.toBeInstanceOf(InvalidArgument)
    await expect(rejection(() => methods["open"]?.(() => 1))).resolves.toBeInstanceOf(InvalidArgument)
    expect(calls).toEqual([])
  })

  it("rejects when sending throws, or rejects", async () => {
    const broken = new Error("not connected")
    const throwing = actorMethods(define(Account), "alice", () => {
      throw broken
    })
    const rejecting = actorMethods(define(Account), "alice", () => Promise.reject(broken))
    for (const methods of [throwing, rejecting]) {
      await expect(rejection(() => methods["deposit"]?.(5))).resolves.toBe(broken)
      await expect(rejection(() => methods["open"]?.("bob"))).resolves.toBe(broken)
    }
  })
})

describe("the key of an actor", () => {
  it.each(["a", "a b/ü", "x".repeat(KEY_LENGTH_MAX), "__proto__", "\0"])("may be %j", (key) => {
    expect(Object.keys(connect(key).client)).toHaveLength(3)
  })

  const object = { toString: () => "alice" }
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  it.each([
    ["empty", "", '""'],
    ["too long", "x".repeat(KEY_LENGTH_MAX + 1), `"${"x".repeat(80)}"`],
    ["half of a character", "a\uD800", String.raw`"a\ud800"`],
    ["a number", 7, "a number"],
    ["a bigint", 7n, "a bigint"],
    ["undefined", undefined, "a undefined"],
    ["null", null, "a object"],
    ["an object", object, "a object"],
    ["a cycle", cycle, "a object"],
    ["a symbol", Symbol("alice"), "a symbol"],
  ])("is not %s", (_, key, shown) => {
    const make = (): unknown => actorMethods(define(Account), key as string, () => Promise.resolve(1))
    expect(make).toThrow(InvalidArgument)
    expect(make).toThrow(
      `bank/Account: the key of an actor is a text of 1 to ${KEY_LENGTH_MAX} characters, not ${shown}`,
    )
  })
})

/** A client whose calls are collected and answered by their count. */
function connect(key = "alice") {
  const calls: Array<Call> = []
  const methods = actorMethods(define(Account), key, (call) => Promise.resolve(`answer ${calls.push(call)}`))
  return { calls, methods, client: methods as unknown as ActorClient<Account> }
}

/** What a call rejects with. An error that it throws is not caught. */
async function rejection(call: () => Promise<unknown> | undefined): Promise<unknown> {
  const result = call()
  return Promise.resolve(result).then(
    (value) => `resolved: ${String(value)}`,
    (error: unknown) => error,
  )
}
