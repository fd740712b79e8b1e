import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { FifoMap } from "@lockstep/core"

type Step =
  | { readonly _tag: "set"; readonly number: number; readonly value: number }
  | { readonly _tag: "delete"; readonly number: number }
  | { readonly _tag: "shift" }
  | { readonly _tag: "clear" }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ _tag: fc.constant("set" as const), number: fc.nat(12), value: fc.nat() }),
  fc.record({ _tag: fc.constant("delete" as const), number: fc.nat(12) }),
  fc.record({ _tag: fc.constant("shift" as const) }),
  fc.record({ _tag: fc.constant("clear" as const) }),
)

describe("a map for what comes and goes", () => {
  it("holds what a Map would", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const fifo = new FifoMap<number>()
        const map = new Map<number, number>()
        for (const one of steps) {
          expect(taken(fifo, one)).toBe(takenOfMap(map, one))
          expect(fifo.size).toBe(map.size)
          expect(fifo.keys()).toEqual([...map.keys()])
          expect(fifo.values()).toEqual([...map.values()])
          for (let number = 0; number <= 12; number++) expect(fifo.get(number)).toBe(map.get(number))
        }
      }),
    )
  })

  it("lets entries go while it is walked over", () => {
    const fifo = new FifoMap<string>()
    for (const number of [1, 2, 3]) fifo.set(number, `value ${number}`)
    const seen: Array<number> = []
    for (const number of fifo.keys()) {
      seen.push(number)
      fifo.delete(number)
    }
    expect(seen).toEqual([1, 2, 3])
    expect(fifo.size).toBe(0)
  })

  // the second half is why there is such a class: where it fails, V8 has learned, and a Map will do
  it("keeps nothing of what has left it, where a Map keeps all of it until all of memory is collected", () => {
    expect(keptBy(new FifoMap<unknown>())).toBeLessThan(0.1)
    expect(keptBy(new Map<number, unknown>())).toBeGreaterThan(0.3)
  })
})

/** Does it, and yields what it yields. */
function taken(fifo: FifoMap<number>, one: Step): unknown {
  switch (one._tag) {
    case "set":
      return fifo.set(one.number, one.value)
    case "delete":
      return fifo.delete(one.number)
    case "shift":
      return fifo.shift()
    case "clear":
      return fifo.clear()
  }
}

/** The same with a Map. */
function takenOfMap(map: Map<number, number>, one: Step): unknown {
  switch (one._tag) {
    case "set":
      return void map.set(one.number, one.value)
    case "delete":
      return map.delete(one.number)
    case "shift": {
      const [oldest] = map
      map.delete(oldest?.[0] ?? NaN)
      return oldest?.[1]
    }
    case "clear":
      return map.clear()
  }
}

/** The share of all bytes that have left it which collections of young objects alone leave behind. */
function keptBy(map: {
  set(number: number, value: unknown): unknown
  delete(number: number): boolean
}): number {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as (options?: { type: "minor" }) => void
  collect()
  const before = oldBytes()
  for (let number = 0; number < ENTRIES; number++) {
    map.set(
      number,
      Array.from({ length: 1024 }, () => number),
    )
    map.delete(number - OPEN)
    if (number % OPEN === 0) collect({ type: "minor" })
  }
  return (oldBytes() - before) / (ENTRIES * 8 * 1024)
}

const ENTRIES = 2048
/** As many are in it at a time. */
const OPEN = 8

function oldBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === "old_space")?.space_used_size ?? NaN
}
