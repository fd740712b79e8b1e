import { type ActorContext, Command, Query, Replicated } from "@lockstep/actor"
import { ActorError, type Canonical } from "@lockstep/core"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { mode, Stage } from "./stage.ts"

type Fields = { readonly [key: string]: Canonical }

/** Does all that a deterministic actor may: with its fields, its arguments, its context, its errors. */
@Replicated({ name: "Registry", version: 1, mode })
class Registry {
  records = new Map<string, Canonical>()
  order: Array<string> = []
  fields: { [key: string]: Canonical } = {}
  tags = new Set<Canonical>()
  bytes = new Uint8Array(2)
  at = new Date(0)
  last?: Canonical

  @Command()
  put(key: string, value: Canonical, context: ActorContext): number {
    if (this.records.size >= 4) throw new ActorError("Full", { key, size: this.records.size })
    this.records.set(key, value)
    this.order.push(key)
    this.at = new Date(context.now)
    return this.records.size
  }

  @Command()
  remove(key: string): Canonical {
    const value = this.records.get(key)
    if (!this.records.delete(key)) throw new RangeError("there is none")
    this.order = this.order.filter((each) => each !== key)
    return value
  }

  @Command()
  assign(fields: Fields): ReadonlyArray<string> {
    for (const [key, value] of Object.entries(fields)) {
      delete this.fields[key]
      this.fields[key] = value
    }
    return Object.keys(this.fields)
  }

  @Command()
  shuffle(context: ActorContext): ReadonlyArray<string> {
    const ranks = new Map(this.order.map((key) => [key, context.random()]))
    this.order.sort((a, b) => (ranks.get(a) ?? 0) - (ranks.get(b) ?? 0))
    this.tags.add(context.uuid())
    return this.order
  }

  @Command()
  remember(value: Canonical): Canonical {
    if (value === null) delete this.last
    else this.last = value
    this.#count()
    return value
  }

  /** Changes something, then refuses: the change stays. */
  @Command()
  failLate(value: Canonical): never {
    this.#count()
    throw new ActorError({ code: "Late", data: value, message: "never voted on" })
  }

  @Command()
  readClock(): number {
    this.#count()
    return Date.now()
  }

  @Query()
  look(): ReadonlyArray<Canonical> {
    return [this.records, this.order, this.fields, this.tags, this.bytes, this.at, this.last, "last" in this]
  }

  /** Is undone where it is checked. */
  @Query()
  meddle(): void {
    this.#count()
    this.records.set("meddled", null)
    this.last = Object.keys(this)
  }

  #count(): void {
    this.bytes[0] = (this.bytes[0] ?? 0) + 1
  }
}

const field = fc.constantFrom("a", "b", "c", "d", "e", "1", "ü")
const name = fc.oneof(field, fc.constant("__proto__"))
const scalar = fc.oneof(
  fc.constantFrom(null, undefined, true, -0, Number.NaN, 2 ** 60, "\uD800"),
  fc.integer(),
  fc.bigInt(),
  fc.string(),
  fc.uint8Array({ maxLength: 4 }),
  fc.date({ noInvalidDate: false }),
)
const value: fc.Arbitrary<Canonical> = fc.oneof(
  scalar,
  fc.array(scalar, { maxLength: 3 }),
  fc.dictionary(name, scalar),
  fc.array(fc.tuple(scalar, scalar), { maxLength: 3 }).map((entries) => new Map(entries)),
  fc.array(scalar, { maxLength: 3 }).map((items) => new Set(items)),
)
const command = fc.oneof(
  fc.tuple(fc.constant("put"), name, value),
  fc.tuple(fc.constant("remove"), name),
  fc.tuple(fc.constant("assign"), fc.dictionary(field, value)),
  fc.tuple(fc.constantFrom("remember", "failLate"), value),
  fc.tuple(fc.constantFrom("shuffle", "readClock", "look")),
)
const history = fc.array(fc.tuple(fc.constantFrom("alice", "bob"), command), { maxLength: 25 })

describe("a deterministic actor", () => {
  it("comes to the same outcomes and states in both modes, after any sequence of commands", () => {
    fc.assert(
      fc.property(history, (calls) => {
        const [guarded, checked] = [new Stage("guarded", Registry), new Stage("checked", Registry)]
        for (const [key, [member, ...args]] of calls) {
          const outcome = guarded.callKey(Registry, key, member, ...args)
          expect(checked.callKey(Registry, key, member, ...args)).toEqual(outcome)
          expect(checked.digest).toBe(guarded.digest)
        }
      }),
      { numRuns: 200 },
    )
  })

  it("goes on from a state to which it was undone as from the same state without that", () => {
    fc.assert(
      fc.property(history, (calls) => {
        const [calm, disturbed] = [new Stage("guarded", Registry), new Stage("checked", Registry)]
        for (const [key, [member, ...args]] of calls) {
          calm.callKey(Registry, key, "look")
          expect(disturbed.callKey(Registry, key, "meddle")).toMatchObject({ reason: "QueryChangedState" })
          const outcome = calm.callKey(Registry, key, member, ...args)
          expect(disturbed.callKey(Registry, key, member, ...args)).toEqual(outcome)
          expect(disturbed.digest).toBe(calm.digest)
        }
      }),
      { numRuns: 200 },
    )
  })
})
