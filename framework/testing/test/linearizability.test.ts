import {
  checkLinearizability,
  counterModel,
  type Operation,
  Random,
  registerModel,
  type SequentialModel,
} from "@lockstep/testing"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { KNOWN_HISTORIES } from "./known-histories.ts"
import { happened, OBJECTS, small } from "./sequential-objects.ts"

describe("the verdict on a known history", () => {
  it.each(KNOWN_HISTORIES.map((history) => ({ ...history, title: `${history.name}: ${history.because}` })))(
    "is right: $isLinearizable for $title",
    ({ operations, model, isLinearizable }) => {
      expect(isLinear(operations, model)).toBe(isLinearizable)
    },
  )

  it("is also that of trying all orders, where there are few", () => {
    const few = KNOWN_HISTORIES.filter(({ operations }) => operations.length <= 7)
    const differing = few.filter((one) => isLinearByTrying(one.operations, one.model) !== one.isLinearizable)
    expect(differing.map(({ name }) => name)).toEqual([])
    expect(few.length).toBeGreaterThan(50)
  })

  it("is right for at least fifty of them, of both kinds", () => {
    const linear = KNOWN_HISTORIES.filter(({ isLinearizable }) => isLinearizable).length
    expect(KNOWN_HISTORIES.length).toBeGreaterThanOrEqual(50)
    expect(linear).toBeGreaterThan(20)
    expect(KNOWN_HISTORIES.length - linear).toBeGreaterThan(20)
  })
})

describe.each(Object.entries(OBJECTS))("of a %s, the checker", (_, object) => {
  const long = fc.record({
    seed: fc.nat(),
    clients: fc.integer({ min: 2, max: 8 }),
    lost: fc.constantFrom(0, 0.02),
  })

  it("accepts what happened one at a time, however the calls overlap and whatever was lost", () => {
    fc.assert(
      fc.property(long, ({ seed, clients, lost }) => {
        const operations = happened(new Random(seed), object, { clients, calls: 30, lost })
        expect(checkLinearizability(operations, object.model)._tag).toBe("Linearizable")
      }),
      { numRuns: 40 },
    )
  })

  it("agrees with trying all orders, on histories that are right and on those with a wrong answer", () => {
    const seen = { right: 0, wrong: 0 }
    fc.assert(
      fc.property(small(object), (operations) => {
        const expected = isLinearByTrying(operations, object.model)
        seen[expected ? "right" : "wrong"]++
        expect(isLinear(operations, object.model)).toBe(expected)
      }),
      { numRuns: 1000 },
    )
    expect(Math.min(seen.right, seen.wrong)).toBeGreaterThan(150)
  })

  it("looks neither at the unit and the origin of times nor at the order in which operations are listed", () => {
    const moved = fc.record({
      by: fc.integer({ min: -1000, max: 1000 }),
      times: fc.integer({ min: 1, max: 9 }),
    })
    fc.assert(
      fc.property(small(object), moved, fc.nat(), (operations, { by, times }, seed) => {
        const time = (at: number): number => at * times + by
        const other = operations.map((operation) => ({
          ...operation,
          call: time(operation.call),
          return: operation.return === undefined ? undefined : time(operation.return),
        }))
        const verdict = checkLinearizability(operations, object.model)._tag
        expect(checkLinearizability(new Random(seed).shuffle(other), object.model)._tag).toBe(verdict)
      }),
    )
  })

  it("says how far it came: an order that is right, and calls that cannot follow it", () => {
    fc.assert(
      fc.property(small(object), (operations) => {
        const verdict = checkLinearizability(operations, object.model)
        if (verdict._tag !== "NotLinearizable") return
        const { longest, stuck } = verdict
        const state = replayed(longest, object.model)
        expect(stuck.length).toBeGreaterThan(0)
        for (const { input, output } of stuck) expect(object.model.step(state, input, output)).toBeUndefined()
        const before = longest.filter((one, i) =>
          longest.slice(i + 1).some((next) => (next.return ?? Infinity) < one.call),
        )
        expect(before).toEqual([])
      }),
    )
  })
})

describe("the checker", () => {
  it("finds the one wrong answer among hundreds", () => {
    const { counter } = OBJECTS
    const adding = { ...counter, input: (random: Random) => ["add", random.integer(1, 9)] }
    fc.assert(
      fc.property(fc.nat(), fc.nat(399), fc.integer({ min: -9, max: 9 }), (seed, at, off) => {
        const operations = happened(new Random(seed), adding, { clients: 8, calls: 50, lost: 0 })
        const wrong = operations.map((operation, i) => (i === at ? plus(operation, off) : operation))
        expect(isLinear(wrong, counterModel)).toBe(off === 0)
      }),
      { numRuns: 50 },
    )
  })

  it("asks the model some dozen times per operation where answers tell the order, also when a twentieth is lost", () => {
    for (const object of [OBJECTS.counter, OBJECTS.list, OBJECTS.bank])
      for (let seed = 1; seed <= 5; seed++) {
        const operations = happened(new Random(seed), object, { clients: 8, calls: 125, lost: 0.05 })
        const verdict = checkLinearizability(operations, object.model)
        expect(verdict).toMatchObject({ _tag: "Linearizable", operations: 1000 })
        expect("steps" in verdict && verdict.steps).toBeLessThan(60 * 1000)
      }
  })

  it("gives up after the given number of steps, and names the key", () => {
    const verdict = checkLinearizability(entangled("k"), registerModel, { stepsMax: 1000 })
    expect(verdict).toMatchObject({ _tag: "OutOfSteps", key: "k" })
    expect("steps" in verdict && verdict.steps).toBeLessThan(1100)
    expect(checkLinearizability(entangled("k"), registerModel)._tag).toBe("NotLinearizable")
  })

  it("still finds a key that is wrong when it gave up on another", () => {
    const wrong = [call("a", "z", 0, 1, ["read"], 7)]
    const verdict = checkLinearizability([...entangled("k"), ...wrong], registerModel, { stepsMax: 1000 })
    expect(verdict).toEqual({ _tag: "NotLinearizable", key: "z", longest: [], stuck: wrong })
  })

  it("shows the longest order and what cannot follow it", () => {
    const [write, old, late] = [
      call("a", "k", 0, 1, ["write", 1], null),
      call("b", "k", 2, 5, ["read"], 0),
      call("c", "k", 3, 4, ["read"], 1),
    ] as const
    const verdict = checkLinearizability([late, old, write], registerModel)
    expect(verdict).toEqual({ _tag: "NotLinearizable", key: "k", longest: [write, late], stuck: [old] })
  })

  it.each([
    ["a time that is no number", { call: Number.NaN }],
    ["a return before its call", { call: 5, return: 4 }],
    ["a return without an output", { output: undefined }],
    ["an output without a return", { return: undefined }],
  ])("refuses %s", (_, fault) => {
    const operation = { ...call("a", "k", 0, 1, ["read"], 0), ...fault }
    expect(() => checkLinearizability([operation], registerModel)).toThrow(TypeError)
  })

  it.each([
    ["a method", ["increment"], { returned: 1 }],
    ["arguments", ["add", "1"], { returned: 1 }],
    ["an input", "add", { returned: 1 }],
    ["an output", ["add", 1], 1],
  ])("refuses %s that the model does not know", (_, input, output) => {
    const operation = { ...call("a", "k", 0, 1, [], 0), input, output }
    expect(() => checkLinearizability([operation], counterModel)).toThrow(/^counter/)
  })
})

function isLinear(operations: ReadonlyArray<Operation>, model: SequentialModel<unknown>): boolean {
  return checkLinearizability(operations, model)._tag === "Linearizable"
}

/** The definition, tried order by order: for some of the indeterminate operations, and some order that respects time. */
function isLinearByTrying(
  operations: ReadonlyArray<Operation>,
  model: SequentialModel<unknown>,
  states = new Map<string, unknown>(),
): boolean {
  const due = operations.flatMap((operation) => operation.return ?? [])
  if (due.length === 0) return true
  return operations.some((operation) => {
    if (operation.call > Math.min(...due)) return false
    const state = states.has(operation.key) ? states.get(operation.key) : model.initial(operation.key)
    const next = model.step(state, operation.input, operation.output)
    const rest = operations.filter((other) => other !== operation)
    return next !== undefined && isLinearByTrying(rest, model, new Map(states).set(operation.key, next))
  })
}

function replayed(operations: ReadonlyArray<Operation>, model: SequentialModel<unknown>): unknown {
  return operations.reduce((state: unknown, { input, output }) => {
    const next = model.step(state, input, output)
    expect(next).toBeDefined()
    return next
  }, model.initial("k"))
}

function call(
  client: string,
  key: string,
  from: number,
  to: number,
  input: ReadonlyArray<unknown>,
  returned: unknown,
): Operation {
  return { client, key, call: from, return: to, input, output: { returned } }
}

/** Writes in any order, and then a value that none of them wrote. */
function entangled(key: string): ReadonlyArray<Operation> {
  const writes = Array.from({ length: 12 }, (_, i) => call(`c${i}`, key, 0, 9, ["write", i], null))
  return [...writes, call("reader", key, 10, 11, ["read"], 99)]
}

/** An add that returned so much more. */
function plus(operation: Operation, off: number): Operation {
  const { returned } = operation.output as { readonly returned: number } // an add's
  return { ...operation, output: { returned: returned + off } }
}
