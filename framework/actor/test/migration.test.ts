import {
  type ActorClass,
  type ActorRow,
  type Actors,
  Command,
  type Migration,
  type Migrations,
  Query,
  Replicated,
} from "@lockstep/actor"
import { encodeState, type Outcome } from "@lockstep/core"
import { describe, expect, expectTypeOf, it } from "vitest"
import { mode, returned, Stage } from "./stage.ts"
import { account, complaint } from "./unchecked.ts"

@Replicated({ name: "bank/Account", version: 1, mode })
class AccountV1 {
  euros = 0

  @Command()
  deposit(amount: number): number {
    return (this.euros += amount)
  }
}

/** In cents, from version 2; with a currency, from version 3. */
function accountV3(migrations: Migrations): ActorClass {
  @Replicated({ name: "bank/Account", version: 3, mode, migrations })
  class AccountV3 {
    cents = 0n
    currency = "EUR"
    history: Array<bigint> = []

    @Command()
    deposit(amount: bigint): bigint {
      this.history.push(amount)
      return (this.cents += amount)
    }

    @Query()
    look(): ReadonlyArray<unknown> {
      return [this.cents, this.currency, this.history]
    }
  }
  return AccountV3
}

const toCents = ({ euros }: { readonly euros: number }) => ({ cents: BigInt(euros) * 100n })
const toCurrency: Migration = (state) => ({ history: [state["cents"]], ...state, currency: "EUR" })
const CHAIN: Migrations = { 1: toCents, 2: toCurrency }

describe.each(["guarded", "checked"] as const)("an actor of an older version, %s,", (determinism) => {
  it("goes through each version to the class's own when a command needs it", () => {
    const Account = accountV3(CHAIN)
    const stage = restored(determinism, Account, depositedV1(5, 7))
    expect(stage.callKey(Account, "alice", "look")).toEqual(returned([500n, "EUR", [500n]]))
    expect(stage.callKey(Account, "bob", "deposit", 1n)).toEqual(returned(701n))
    expect(stage.callKey(Account, "carol", "look")).toEqual(returned([0n, "EUR", []]))
  })

  it("begins at its own version, not at the oldest that has a migration", () => {
    const Account = accountV3({ 1: () => raise(new Error("of version 2")), 2: toCurrency })
    const row: ActorRow = { type: "bank/Account", key: "alice", bytes: rowOf(2, { cents: 9n }) }
    const stage = restored(determinism, Account, [row])
    expect(stage.callKey(Account, "alice", "look")).toEqual(returned([9n, "EUR", [9n]]))
  })

  it("keeps its row until then; the next checkpoint has the new version, as of an actor that began with it", () => {
    const Account = accountV3(CHAIN)
    const rows = depositedV1(5, 7)
    const stage = restored(determinism, Account, rows)
    expect(stage.takeChanges(1)).toEqual([])
    stage.callKey(Account, "alice", "look")
    const migrated = stage.takeChanges(1)
    const fresh = new Stage(determinism, Account)
    fresh.noteChanges()
    fresh.callKey(Account, "alice", "deposit", 500n)
    expect(migrated).toEqual(fresh.takeChanges(1))
    expect(migrated[0]?.bytes[0]).toBe(3)
  })

  it("has one digest on all replicas, wherever they began", () => {
    const Account = accountV3(CHAIN)
    const one = restored(determinism, Account, depositedV1(5, 7))
    const before = one.digest
    expect(restored(determinism, Account, depositedV1(5, 7)).digest).toBe(before)
    one.callKey(Account, "alice", "look")
    expect(one.digest).not.toBe(before)
    const other = restored(determinism, Account, [...depositedV1(5, 7), ...one.takeChanges(1)])
    expect(other.digest).toBe(one.digest)
    for (const stage of [one, other]) stage.callKey(Account, "bob", "deposit", 1n)
    expect(other.digest).toBe(one.digest)
  })

  it("gives its migration fields of its own, to change and to keep", () => {
    const kept: Array<unknown> = []
    const Account = accountV3({
      1: toCents,
      2: (state) => {
        const changed = Object.assign(state, { currency: "EUR", history: [1n], late: 7 })
        kept.push(changed)
        return changed
      },
    })
    const stage = restored(determinism, Account, depositedV1(5, 7))
    stage.callKey(Account, "alice", "deposit", 1n)
    expect(kept[0]).toEqual({ cents: 500n, currency: "EUR", history: [1n], late: 7 })
    expect(stage.callKey(Account, "alice", "look")).toEqual(returned([501n, "EUR", [1n, 1n]]))
  })
})

const proxy = new Proxy({}, { getPrototypeOf: () => raise(new Error("getPrototypeOf")) })

/** What a migration must not do, and what is said of it. */
const MISDEEDS: ReadonlyArray<readonly [what: string, misdeed: () => unknown, said: string | RegExp]> = [
  ["throws", () => raise(new RangeError("for the operator's eyes")), "threw RangeError. The actor"],
  ["throws a text", () => raise("text"), "threw something that is no Error. The actor"],
  ["throws a proxy", () => raise(proxy), "threw something that cannot be read. The actor"],
  ["asks the clock", () => ({ at: Date.now() }), "called Date.now, which differs from replica to replica."],
  ["asks chance, and hides it", () => swallowed(() => Math.random()), "called Math.random, which differs"],
  ["returns a promise", () => Promise.reject(new Error("nobody waits")), "returned a promise, and a"],
  ["returns nothing", () => undefined, "returned no plain object of fields. The actor"],
  ["returns a list", () => [], "returned no plain object of fields"],
  ["returns an actor", () => new AccountV1(), "returned no plain object of fields"],
  ["returns a proxy", () => proxy, "returned what cannot be read"],
  ["returns a function in it", () => ({ cents: [() => 1] }), "returned what is no data: state.cents[0] is a"],
  [
    "leaves a field out",
    () => ({ cents: 5n, currency: "EUR" }),
    "left out the field history, which each new",
  ],
]

describe.each(["guarded", "checked"] as const)("an actor whose migration fails, %s,", (determinism) => {
  it.each(MISDEEDS)("because it %s, is frozen, with the reason", (_, misdeed, said) => {
    const Account = accountV3(failing(misdeed))
    const stage = restored(determinism, Account, depositedV1(5, 7))
    const detail = refused(stage.callKey(Account, "alice", "deposit", 1n))
    expect(detail).toContain("bank/Account: its migration from version 2 to 3 ")
    expect(detail).toContain(said)
    expect(detail).toMatch(
      /The actor stays as it was, of version 1, .*: correct the migration, and start all/,
    )
    expect(refused(stage.callKey(Account, "alice", "look"))).toBe(detail)
    expect(stage.actors.takeUncaught()).toMatchObject([{ target: "bank/Account/migrations", seq: 1 }])
  })

  it.each(MISDEEDS)("because it %s, keeps its row, which a corrected build reads", (_, misdeed) => {
    const rows = depositedV1(5, 7)
    const Account = accountV3(failing(misdeed))
    const stage = restored(determinism, Account, rows)
    const { digest } = stage
    stage.callKey(Account, "alice", "deposit", 1n)
    expect(stage.digest).toBe(digest)
    expect(stage.takeChanges(1)).toEqual(rows.slice(0, 1))
    const Corrected = accountV3(CHAIN)
    const corrected = restored(determinism, Corrected, rows)
    expect(corrected.callKey(Corrected, "alice", "look")).toEqual(returned([500n, "EUR", [500n]]))
  })

  it("answers alike on a replica that began later: the reason has no position in it", () => {
    const Account = accountV3(failing(() => Date.now()))
    const [one, other] = [restored(determinism, Account, depositedV1(5, 7)), new Stage(determinism, Account)]
    one.callKey(Account, "alice", "look")
    for (let i = 0; i < 3; i++) other.callKey(Account, "carol", "look")
    restore(other.actors, depositedV1(5, 7))
    expect(other.callKey(Account, "alice", "look")).toEqual(one.callKey(Account, "alice", "look"))
  })

  it("is told to the operator, with the error, once", () => {
    const error = new RangeError("for the operator's eyes")
    const Account = accountV3(failing(() => raise(error)))
    const stage = restored(determinism, Account, depositedV1(5, 7))
    for (let i = 0; i < 2; i++) stage.callKey(Account, "alice", "look")
    expect(stage.actors.takeUncaught()).toEqual([{ target: "bank/Account/migrations", seq: 1, error }])
  })

  it("leaves the others alone", () => {
    const migrations: Migrations = {
      ...CHAIN,
      1: ({ euros }) => (euros === 5 ? raise(new Error()) : toCents({ euros: Number(euros) })),
    }
    const Account = accountV3(migrations)
    const stage = restored(determinism, Account, depositedV1(5, 7))
    expect(refused(stage.callKey(Account, "alice", "look"))).toContain("from version 1 to 2 threw Error.")
    expect(stage.callKey(Account, "bob", "look")).toEqual(returned([700n, "EUR", [700n]]))
  })
})

describe("a migration that runs twice", () => {
  it("freezes the actor when its results differ", () => {
    let count = 0
    const Account = accountV3({ ...CHAIN, 1: () => ({ cents: BigInt(count++) }) })
    const guarded = restored("guarded", Account, depositedV1(5, 7))
    expect(guarded.callKey(Account, "alice", "look")).toMatchObject({ _tag: "Returned" })
    const checked = restored("checked", Account, depositedV1(5, 7))
    expect(refused(checked.callKey(Account, "alice", "look"))).toContain(
      "its migration from version 1 to 2 ran twice on equal fields and gave different ones: it depends on something",
    )
  })

  it("freezes the actor when only the second run fails", () => {
    let count = 0
    const once = () => (count++ === 0 ? { cents: 1n } : raise(new Error()))
    const Account = accountV3({ ...CHAIN, 1: once })
    const checked = restored("checked", Account, depositedV1(5, 7))
    expect(refused(checked.callKey(Account, "alice", "look"))).toContain("ran twice on equal fields")
  })
})

describe("a checkpoint is refused by a build", () => {
  it("that is older than it: nothing is read, and nothing guessed", () => {
    const stage = new Stage("guarded", AccountV1)
    const newer: ActorRow = { type: "bank/Account", key: "alice", bytes: rowOf(3, { cents: 5n }) }
    expect(() => restore(stage.actors, [newer])).toThrow(
      expect.objectContaining({
        _tag: "WrongBuild",
        type: "bank/Account",
        message:
          "the checkpoint has an actor of type bank/Account and version 3, and this build has version 1 of its class. Nothing was executed, and the checkpoint is as it was; start the build that wrote it, or a later one.",
      }),
    )
  })

  it.each([
    [accountV3({}), 3],
    [accountV3({ 2: toCurrency }), 2],
  ])("whose migrations begin after it", (Account, oldest) => {
    expect(() => restore(new Stage("guarded", Account).actors, depositedV1(5, 7))).toThrow(
      `bank/Account and version 1, and the oldest that this build can read is ${oldest}. Nothing was executed, and the checkpoint is as it was; start a build of its class with a migration from version 1.`,
    )
  })

  it("that does not have the class", () => {
    const stage = new Stage("guarded", account())
    expect(() => restore(stage.actors, depositedV1(5, 7))).toThrow(
      "the checkpoint has an actor of type bank/Account which is not hosted here. Nothing was executed",
    )
  })
})

describe("an actor that was frozen because its state was no data", () => {
  const frozen: ActorRow = {
    type: "bank/Account",
    key: "alice",
    bytes: frozenRow(1, "state.x is a function"),
  }

  it("stays so in a later version, whatever that can read: there is no state to migrate", () => {
    const Account = accountV3({})
    const stage = restored("guarded", Account, [frozen])
    expect(refused(stage.callKey(Account, "alice", "look"))).toBe("state.x is a function")
    expect(stage.takeChanges(1)).toEqual([frozen])
    expect(stage.actors.takeUncaught()).toEqual([])
  })

  it("is not read by an older build", () => {
    const newer = { ...frozen, bytes: frozenRow(4, "state.x is a function") }
    expect(() => restore(new Stage("guarded", accountV3({})).actors, [newer])).toThrow(
      "and version 4, and this",
    )
  })
})

describe("a class is refused, with its name and the remedy, when its", () => {
  const one = (): object => ({})
  it.each([
    [
      "migrations are no object",
      2,
      [one],
      /^Account: its migrations are no object\. Write migrations: \{ 1: /,
    ],
    ["migrations are null", 2, null, /^Account: its migrations are no object\. Write/],
    [
      "migration is from its own version",
      2,
      { 1: one, 2: one },
      /^Account: it has a migration from "2", which is no version before its own, 2\. Name each migration/,
    ],
    ["first version has one", 1, { 0: one }, /^Account: it has a migration from "0", which is no version/],
    [
      "migration is from no version",
      2,
      { one },
      /^Account: it has a migration from "one", which is no version/,
    ],
    ["migration is from half a version", 3, { "1.5": one }, /from "1\.5", which is no version before/],
    ["migration is from a version in disguise", 3, { "01": one }, /from "01", which is no version before/],
    [
      "migration is no function",
      2,
      { 1: {} },
      /^Account: its migration from version 1 is no function\. Write/,
    ],
    [
      "migration is asynchronous",
      2,
      { 1: async () => ({}) },
      /^Account: its migration from version 1 is asynchronous or a generator\. Return the new fields at once/,
    ],
    ["migration is a generator", 2, { 1: function* () {} }, /is asynchronous or a generator\. Return/],
    [
      "migrations have a gap",
      5,
      { 2: one, 4: one },
      /^Account: it has a migration from version 2, and none from version 3 to 4\. Give one for each version/,
    ],
    ["migrations end too early", 4, { 1: one, 2: one }, /and none from version 3 to 4\. Give one for each/],
  ])("%s", (_, version, migrations, expected) => {
    expect(complaint(account({ version, migrations }))).toMatch(expected)
  })

  it("not when they are whole, or there are none", () => {
    for (const migrations of [undefined, {}, { 3: one }, { 3: one, 2: one }, { 1: one, 2: one, 3: one }])
      expect(complaint(account({ version: 4, migrations }))).toBe("accepted")
  })
})

describe("the type of migrations", () => {
  it("takes the shape of the earlier version, and data alone is returned", () => {
    expectTypeOf<{ 1: (state: { readonly euros: number }) => { cents: bigint } }>().toExtend<Migrations>()
    expectTypeOf<{ 1: () => { list: ReadonlyArray<Map<string, Date>> } }>().toExtend<Migrations>()
    expectTypeOf<{ 1: () => Promise<{ cents: bigint }> }>().not.toExtend<Migrations>()
    expectTypeOf<{ 1: () => { callback: () => void } }>().not.toExtend<Migrations>()
    expectTypeOf<{ 1: () => void }>().not.toExtend<Migrations>()
  })
})

/** A second step that misbehaves. */
function failing(misdeed: () => unknown): Migrations {
  return { ...CHAIN, 2: misdeed as () => object } as unknown as Migrations
}

/** The rows of a checkpoint in which version 1 left alice and bob with so many euros. */
function depositedV1(alice: number, bob: number): ReadonlyArray<ActorRow> {
  const stage = new Stage("guarded", AccountV1)
  stage.noteChanges()
  stage.callKey(AccountV1, "alice", "deposit", alice)
  stage.callKey(AccountV1, "bob", "deposit", bob)
  return stage.takeChanges(1)
}

function restored(
  determinism: "guarded" | "checked",
  actorClass: ActorClass,
  rows: ReadonlyArray<ActorRow>,
): Stage {
  const stage = new Stage(determinism, actorClass)
  stage.noteChanges()
  restore(stage.actors, rows)
  return stage
}

function restore(actors: Actors, rows: Iterable<ActorRow>): void {
  for (const row of rows) actors.restore(row)
}

function rowOf(version: number, state: object): Buffer {
  return Buffer.concat([Buffer.from([version, 0]), encodeState(state)])
}

function frozenRow(version: number, reason: string): Buffer {
  return Buffer.concat([Buffer.from([version, 1, reason.length]), Buffer.from(reason)])
}

function refused(outcome: Outcome): string {
  expect(outcome).toMatchObject({ _tag: "Refused", reason: "StateUnsupported" })
  return outcome._tag === "Refused" ? outcome.detail : ""
}

function swallowed(call: () => unknown): object {
  try {
    return { value: call() }
  } catch {
    return { cents: 1n, currency: "EUR", history: [] }
  }
}

function raise(error: unknown): never {
  throw error
}
