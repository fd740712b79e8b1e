import {
  type ActorClient,
  type ActorContext,
  Command,
  Query,
  Replicated,
  type WithoutContext,
} from "@lockstep/actor"
import { Schema } from "effect"
import { describe, expect, expectTypeOf, it } from "vitest"
import { z } from "zod"

// Checked by the compiler (tsconfig.test.json): a line under @ts-expect-error that compiles is an error. The keys in the
// comments are the complaints that the compiler shows.

const Amount = Schema.toStandardSchemaV1(Schema.BigInt.check(Schema.isGreaterThanBigInt(0n)))
const Owner = Schema.toStandardSchemaV1(Schema.String)

describe("a decorated method", () => {
  it("may have schemas of any library, also mixed, and a context at the end", () => {
    class Account {
      balance = 0n

      @Command({ args: [Owner, z.bigint()], returns: z.bigint() })
      deposit(owner: string, amount: bigint, context: ActorContext): bigint {
        this.balance += owner === "" || context.now < 0 ? 0n : amount
        return this.balance
      }

      @Query({ args: [z.object({ since: z.date(), tags: z.array(z.string()) })], returns: Amount })
      total(filter: { since: Date; tags: Array<string> }): bigint {
        return filter.tags.length === 0 ? 0n : this.balance
      }

      @Command({ args: [] })
      close(context: ActorContext): string {
        return context.uuid()
      }
    }

    expectTypeOf<ActorClient<Account>["deposit"]>().toEqualTypeOf<
      (owner: string, amount: bigint) => Promise<bigint>
    >()
  })

  it("takes what its schemas produce, and a caller gives what they take", () => {
    class Account {
      // @ts-expect-error "the schemas in `args` do not produce what the method takes"
      @Command({ args: [Owner] })
      wrongType(amount: bigint): bigint {
        return amount
      }

      // @ts-expect-error "the schemas in `args` do not produce what the method takes": one is missing
      @Command({ args: [Owner] })
      missing(owner: string, amount: bigint): string {
        return `${owner}${amount}`
      }

      // @ts-expect-error "the method takes arguments that its schemas refuse …": there is no parameter for the second
      @Command({ args: [Owner, Amount] })
      superfluous(owner: string): string {
        return owner
      }

      // @ts-expect-error "… or a schema transforms its input": a caller would give the number, and the schema wants text
      @Command({ args: [z.string().transform(Number)] })
      transformed(amount: number): number {
        return amount
      }

      // @ts-expect-error "the schemas in `args` do not produce what the method takes": the context is no argument
      @Command({ args: [z.object({ now: z.number() })] })
      context(context: ActorContext): number {
        return context.now
      }
    }
    expectTypeOf<Account>().toHaveProperty("missing")
  })

  it("may brand, default and coerce its arguments, where a caller may give what the method takes", () => {
    const UserId = Schema.String.pipe(Schema.brand("UserId"))

    class Users {
      @Command({ args: [Schema.toStandardSchemaV1(UserId)] })
      add(user: typeof UserId.Type): string {
        return user
      }

      @Command({ args: [z.number().default(1), z.coerce.number()] })
      count(step: number, limit: number): number {
        return Math.min(step, limit)
      }
    }
    expectTypeOf<Parameters<ActorClient<Users>["count"]>>().toEqualTypeOf<[step: number, limit: number]>()
  })

  it("has schemas for its optional parameters, which take undefined", () => {
    class Counter {
      @Command({ args: [z.number().optional()] })
      good(step?: number): number {
        return step ?? 1
      }

      @Command({ args: [z.number().default(1)] })
      defaulted(step = 1): number {
        return step
      }

      @Command({ args: [z.number(), z.number().optional()] })
      withContext(step: number, limit: number | undefined, context: ActorContext): number {
        return Math.min(step, limit ?? context.now)
      }

      // @ts-expect-error "a method with optional parameters needs schemas in `args`"
      @Command()
      bare(step?: number): number {
        return step ?? 1
      }

      // @ts-expect-error "the method takes arguments that its schemas refuse …": undefined
      @Command({ args: [z.number()] })
      refused(step?: number): number {
        return step ?? 1
      }

      // @ts-expect-error "the method takes arguments that its schemas refuse …": undefined
      @Command({ args: [z.number()] })
      refusedDefault(step = 1): number {
        return step
      }

      // @ts-expect-error "a command or query has no rest parameters: take an array"
      @Command()
      rest(...steps: Array<number>): number {
        return steps.length
      }
    }
    expectTypeOf<ActorClient<Counter>["good"]>().toEqualTypeOf<(step?: number) => Promise<number>>()
  })

  it("is synchronous where every replica executes it, and may be asynchronous where one does", () => {
    const everywhere = { kind: "test", replicas: 1, execution: "everywhere" } as const
    const once = { kind: "test", replicas: 1, execution: "once" } as const

    // @ts-expect-error "a command or query of this mode must be synchronous: deposit"
    @Replicated({ name: "A", version: 1, mode: everywhere })
    class Asynchronous {
      @Command()
      async deposit(): Promise<number> {
        return 1
      }
    }

    // @ts-expect-error "a command or query of this mode must be synchronous: promised"
    @Replicated({ name: "B", version: 1, mode: everywhere })
    class Promising {
      @Query()
      promised(): PromiseLike<number> {
        return Promise.resolve(1)
      }
    }

    // @ts-expect-error "a command or query of this mode must be synchronous: perhaps": at times
    @Replicated({ name: "C", version: 1, mode: everywhere })
    class AtTimes {
      @Command({ args: [z.boolean()] })
      perhaps(later: boolean): number | Promise<number> {
        return later ? Promise.resolve(1) : 1
      }
    }

    @Replicated({ name: "D", version: 1, mode: everywhere })
    class Account {
      @Command()
      close(): never {
        throw new Error("closed")
      }

      @Query()
      anything(): unknown {
        return 1
      }
    }

    @Replicated({ name: "E", version: 1, mode: once })
    class Once {
      @Command({ returns: z.number() })
      async deposit(): Promise<number> {
        return 1
      }
    }
    expectTypeOf<ActorClient<Account>["close"]>().returns.toEqualTypeOf<Promise<never>>()
    expectTypeOf<ActorClient<Once>["deposit"]>().returns.toEqualTypeOf<Promise<number>>()
    expect([Asynchronous, Promising, AtTimes]).toHaveLength(3)
  })

  it("returns what its `returns` schema takes and leaves as it is", () => {
    class Account {
      @Query({ returns: z.object({ owner: z.string(), balance: z.bigint() }) })
      good(): { owner: string; balance: bigint } {
        return { owner: "alice", balance: 1n }
      }

      // @ts-expect-error "the schema in `returns` refuses what the method returns"
      @Query({ returns: z.number() })
      refused(): string {
        return "1"
      }

      // @ts-expect-error "the schema in `returns` makes something else of what the method returns"
      @Query({ returns: z.number().transform(String) })
      transformed(): number {
        return 1
      }
    }
    expectTypeOf<Account>().toHaveProperty("good")
  })

  it("is a method: not a field, a getter or the class", () => {
    class Account {
      // @ts-expect-error: a decorator of methods is given no field
      @Command()
      balance = 0

      // @ts-expect-error: a number is not a method
      @Query()
      get double(): number {
        return this.balance * 2
      }

      // @ts-expect-error: the decorator is made by a call
      @Command
      deposit(amount: number): number {
        return (this.balance += amount)
      }
    }
    expectTypeOf<Account>().toHaveProperty("double")
  })
})

describe("the client's type", () => {
  it("has the public methods of the class, and nothing else", () => {
    class Account {
      balance = 0n
      history: Array<string> = []

      @Command()
      deposit(amount: bigint): bigint {
        return this.record(amount)
      }

      private record(amount: bigint): bigint {
        this.history.push(String(amount))
        return (this.balance += amount)
      }

      *[Symbol.iterator](): Generator<string> {
        yield* this.history
      }
    }
    expectTypeOf<keyof ActorClient<Account>>().toEqualTypeOf<"deposit">()
  })

  it("is without the context, and only without the context", () => {
    expectTypeOf<WithoutContext<[amount: number, context: ActorContext]>>().toEqualTypeOf<[amount: number]>()
    expectTypeOf<WithoutContext<[context: ActorContext]>>().toEqualTypeOf<[]>()
    expectTypeOf<WithoutContext<[amount: number]>>().toEqualTypeOf<[amount: number]>()
    expectTypeOf<WithoutContext<[at: { now: number }]>>().toEqualTypeOf<[at: { now: number }]>()
    expectTypeOf<WithoutContext<[value: unknown]>>().toEqualTypeOf<[value: unknown]>()
    expectTypeOf<WithoutContext<[]>>().toEqualTypeOf<[]>()
  })
})
