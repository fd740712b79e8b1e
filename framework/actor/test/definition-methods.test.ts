import { Command, Replicated } from "@lockstep/actor"
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { mode } from "./stage.ts"
import { asActor, complaint, only } from "./unchecked.ts"

describe("a method is refused, with its class and the remedy,", () => {
  it("when it is public and has no decorator, TypeScript's private methods included", () => {
    class Account {
      private audit(): void {}
    }
    expect(complaint(asActor(Account))).toMatch(
      /^Account\.audit: it is a public method without a decorator\. Decora/,
    )
  })

  it("when it overrides a command and has no decorator of its own", () => {
    class Base {
      @Command()
      add(amount: number): number {
        return amount
      }
    }

    @Replicated({ name: "Account", version: 1, mode })
    class Account extends Base {
      override add(amount: number): number {
        return 2 * amount
      }
    }
    expect(complaint(Account)).toMatch(
      /^Account\.add: it is a public method without a decorator\. Decorate it/,
    )
  })

  it("when it is asynchronous, by its code or by its type, or a generator", () => {
    class Account {
      async code(): Promise<void> {}
      type(): Promise<void> {
        return Promise.resolve()
      }
      *generator(): Generator<number> {}
      async *both(): AsyncGenerator<number> {}
    }
    Reflect.defineMetadata("design:returntype", Promise, Account.prototype, "type")
    const told = (member: string): string => complaint(only(Account, member))
    expect(told("code")).toMatch(
      /^Account\.code: it is asynchronous, and a command runs at one log position\. Make/,
    )
    expect(told("type")).toMatch(/^Account\.type: it is asynchronous/)
    expect(told("generator")).toMatch(/^Account\.generator: it is a generator\. A command returns its result/)
    expect(told("both")).toMatch(/^Account\.both: it is a generator/)
  })

  it("when it is named then", () => {
    class Account {
      // oxlint-disable-next-line unicorn/no-thenable -- this is what the test is about
      then(): number {
        return 1
      }
    }
    expect(complaint(asActor(Account, "then"))).toMatch(
      /^Account\.then: a method named "then" would make its client a Promise\. Give it another name/,
    )
  })

  it("when it is no method of the instance, though decorated", () => {
    class Account {
      static open(): void {}
      get balance(): number {
        return 0
      }
    }
    const decorate = Command() as unknown as (target: object, member: string) => void
    decorate(Account, "open")
    expect(complaint(asActor(Account))).toMatch(
      /^Account\.open: it is static, and a call is to an instance\. Make/,
    )
    decorate(Account.prototype, "balance")
    expect(complaint(asActor(Account))).toMatch(
      /^Account\.balance: it is no method, so it cannot be called\. Decorate/,
    )
  })
})

describe("schemas are refused", () => {
  it.each([
    ["an Effect Schema that is not wrapped", Schema.String],
    ["no schema", { "~standard": {} }],
    ["a type", String],
  ])("when one is %s", (_, schema) => {
    class Account {
      open(owner: string): string {
        return owner
      }
    }
    const expected = /^Account\.open: one of its schemas is not a Standard Schema\. Effect users: wrap it in/
    expect(complaint(asActor(Account, "open", { args: [schema] }))).toMatch(expected)
    expect(complaint(asActor(Account, "open", { args: [undefined] }))).toMatch(expected)
    expect(complaint(asActor(Account, "open", { returns: schema }))).toMatch(expected)
  })

  it("when there are more of them than parameters, or too few", () => {
    class Account {
      transfer(from: string, to: string, amount: number): string {
        return `${from}${to}${amount}`
      }
    }
    const told = (schemas: number): string => {
      const args = Array.from({ length: schemas }, () => z.unknown())
      return complaint(asActor(Account, "transfer", { args }, [String, String, Number]))
    }
    expect(told(4)).toMatch(
      /^Account\.transfer: it has 4 schemas for 3 parameters\. Give one schema for each/,
    )
    expect(told(1)).toMatch(/^Account\.transfer: it has 1 schemas for 3 parameters/)
    expect(told(3)).toBe("accepted")
    expect(told(2)).toBe("accepted") // the third may be the context
  })

  it("when they are missing where a parameter has a default value, or takes the rest", () => {
    class Account {
      defaulted(amount = 1): number {
        return amount
      }
      rest(...amounts: Array<number>): number {
        return amounts.length
      }
    }
    const told = (member: string): string => complaint(only(Account, member, undefined, [Number]))
    expect(told("defaulted")).toMatch(
      /^Account\.defaulted: it has a parameter with a default value, or a rest/,
    )
    expect(told("rest")).toMatch(
      /^Account\.rest: it has a parameter with a default value, or a rest parameter/,
    )
    expect(complaint(only(Account, "defaulted", { args: [z.number().default(1)] }, [Number]))).toBe(
      "accepted",
    )
    expect(complaint(only(Account, "defaulted", { args: [z.number().default(1)] }))).toBe("accepted") // no metadata
  })
})
