import { Command, define, defineAll, Query, Replicated } from "@lockstep/actor"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { mode } from "./stage.ts"
import { account, asActor, complaint } from "./unchecked.ts"

describe("a definition", () => {
  it("holds what the decorators recorded, and the class", () => {
    const Amount = z.number()

    @Replicated({ name: "bank/Account", version: 3, mode })
    class Account {
      balance = 0

      @Command({ args: [Amount], returns: Amount })
      deposit(amount: number): number {
        return (this.balance += amount)
      }

      @Query()
      get(): number {
        return this.balance
      }
    }
    const definition = define(Account)
    expect(definition).toMatchObject({ type: "bank/Account", version: 3, mode, actorClass: Account })
    expect([...definition.members.keys()]).toEqual(["deposit", "get"])
    expect(definition.members.get("deposit")).toMatchObject({
      kind: "command",
      args: [Amount],
      returns: Amount,
      parameters: 1,
      argumentsMin: 1,
    })
    expect(definition.members.get("get")).toMatchObject({ kind: "query", args: undefined, parameters: 0 })
  })

  it("is made once, and frozen", () => {
    const Account = account()
    const definition = define(Account)
    expect(define(Account)).toBe(definition)
    expect(Object.isFrozen(definition)).toBe(true)
    expect([...definition.members.values()].every((member) => Object.isFrozen(member))).toBe(true)
  })

  it("includes the methods of the classes that are extended, overrides first", () => {
    class Base {
      value = 0

      @Command()
      add(amount: number): number {
        return (this.value += amount)
      }

      @Query()
      get(): number {
        return this.value
      }
    }

    @Replicated({ name: "Doubling", version: 1, mode })
    class Doubling extends Base {
      @Command()
      override add(amount: number): number {
        return super.add(2 * amount)
      }
    }
    const { members } = define(Doubling)
    expect([...members.keys()]).toEqual(["add", "get"])
    expect(members.get("add")?.implementation).toBe(
      Object.getOwnPropertyDescriptor(Doubling.prototype, "add")?.value,
    )
  })

  it("leaves out what nobody can call: getters, static, symbol and #private methods, fields", () => {
    @Replicated({ name: "Account", version: 1, mode })
    class Account {
      static readonly limit = 100
      balance = 0

      static parse(text: string): number {
        return Number(text)
      }

      get double(): number {
        return 2 * this.balance
      }

      set double(value: number) {
        this.balance = value / 2
      }

      @Command()
      deposit(amount: number): number {
        return this.#check((this.balance += amount))
      }

      *[Symbol.iterator](): Generator<number> {
        yield this.balance
      }

      #check(balance: number): number {
        return Math.min(balance, Account.limit)
      }
    }
    expect([...define(Account).members.keys()]).toEqual(["deposit"])
  })
})

describe("a class is refused, with its name and the remedy,", () => {
  it("without @Replicated, also when the class that it extends has it", () => {
    class Undecorated {
      @Command()
      add(): void {}
    }
    class Extended extends account() {}
    expect(complaint(Undecorated)).toMatch(
      /^Undecorated: it has no @Replicated decorator\. Decorate the class/,
    )
    expect(complaint(Extended)).toMatch(/^Extended: it has no @Replicated decorator\. Decorate the class/)
  })

  it.each(["", "1st", "a b", "Account!", "x".repeat(129), "ä", 7, undefined])("with the name %j", (name) => {
    expect(complaint(account({ name }))).toMatch(/^Account: its name .* is not a name\. Use letters/)
  })

  it.each([0, -1, 1.5, Number.NaN, "1", undefined])("with the version %j", (version) => {
    expect(complaint(account({ version }))).toMatch(
      /^Account: its version .* is not a whole number from 1\. Begin/,
    )
  })

  it.each([undefined, null, {}, { kind: 1 }])("with the mode %j", (none) => {
    expect(complaint(account({ mode: none }))).toMatch(/^Account: it has no mode\. Say how it is replicated/)
  })

  it("when its constructor takes arguments, or throws", () => {
    class Owned {
      owner: string
      constructor(owner: string) {
        this.owner = owner
      }
    }
    class Broken extends Callable {
      constructor() {
        super()
        throw new Error("no database")
      }
    }
    expect(complaint(asActor(Owned))).toMatch(
      /^Owned: its constructor takes arguments\. Actors are created on/,
    )
    expect(complaint(asActor(Broken))).toMatch(
      /^Broken: its constructor throws: no database\. An actor is created/,
    )
  })

  it("when it has nothing to call", () => {
    class Empty {
      value = 0
    }
    Replicated({ name: "Empty", version: 1, mode })(Empty)
    expect(complaint(Empty)).toBe(
      "Empty: it has no command and no query. Decorate at least one method with @Command() or @Query().",
    )
  })

  it("when another class has its name", () => {
    const [First, Second] = [account(), account()]
    expect(defineAll([First, First]).size).toBe(1)
    expect(() => defineAll([First, Second])).toThrow(
      'Account: its name "Account" is already that of class Account. Give each actor class of a group a name of its own',
    )
  })
})

describe("a state is refused, with the field and the remedy, when it holds", () => {
  class Money {
    cents = 0
  }
  it.each([
    ["a function", () => 0, /^Holder: state\.field is a function.*\. State is made of null, boolean/],
    ["a symbol", Symbol("x"), /^Holder: state\.field is a symbol.*\. State is made of/],
    ["an instance of a class", new Money(), /^Holder: state\.field .*Money.*\. State is made of/],
    ["a promise", Promise.resolve(), /^Holder: state\.field .*Promise.*\. State is made of/],
    ["one of those, deep inside", new Map([["a", [new Money()]]]), /^Holder: state\.field\.get\("a"\)\[0\] /],
  ])("%s", (_, value, expected) => {
    class Holder extends Callable {
      field = value
    }
    expect(complaint(asActor(Holder))).toMatch(expected)
  })

  it("a field under a symbol", () => {
    const hidden = Symbol("hidden")
    class Holder extends Callable {
      [hidden] = 1
    }
    expect(complaint(asActor(Holder))).toMatch(/^Holder: state.* has a symbol as a key\. State is made of/)
  })

  it("a #private field", () => {
    class Holder extends Callable {
      #cents = 0

      read(): number {
        return this.#cents
      }
    }
    expect(complaint(asActor(Holder, "read"))).toMatch(
      /^Holder: it keeps state in #cents, which cannot be read for checkpoints\. Use TypeScript's private/,
    )
  })

  it("something else in each new instance, or instances are frozen", () => {
    let count = 0
    class Numbered extends Callable {
      id = count++
    }
    class Frozen extends Callable {
      value = 0
      constructor() {
        super()
        Object.freeze(this)
      }
    }
    expect(complaint(asActor(Numbered))).toMatch(
      /^Numbered: two new instances of it differ\. Begin with equal/,
    )
    expect(complaint(asActor(Frozen))).toMatch(/^Frozen: its instances are frozen\. Do not freeze/)
  })
})

class Callable {
  @Query()
  call(): number {
    return 0
  }
}
