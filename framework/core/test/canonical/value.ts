import type { Canonical } from "@lockstep/core"
import fc from "fast-check"
import { text } from "../text.ts"

const key = fc.oneof(
  text,
  fc.constantFrom(
    "__proto__",
    "constructor",
    "toString",
    "0",
    "1",
    "9",
    "10",
    "01",
    "4294967294",
    "4294967295",
  ),
)

const number = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(0, -0, -1, NaN, Infinity, -Infinity, 2 ** 53 - 1, 2 ** 53, 1 - 2 ** 53, -(2 ** 53), 5e-324),
)

const bigint = fc.oneof(
  fc.bigInt(),
  fc.bigInt({ min: -(2n ** 600n), max: 2n ** 600n }),
  fc.constantFrom(0n, -1n, 2n ** 53n - 1n, 2n ** 53n, 1n - 2n ** 53n, -(2n ** 53n), 255n ** 9n, 256n ** 9n),
)

const leaf: fc.Arbitrary<Canonical> = fc.oneof(
  fc.constantFrom(undefined, null, false, true),
  number,
  bigint,
  text,
  fc.date({ noInvalidDate: false }),
  fc.uint8Array({ maxLength: 40 }),
)

/** Any value that has canonical bytes. */
export const value: fc.Arbitrary<Canonical> = fc.letrec<{ any: Canonical }>((tie) => {
  const size = { maxLength: 4 }
  const pairs = fc.array(fc.tuple(tie("any"), tie("any")), size)
  return {
    any: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      leaf,
      fc.array(tie("any"), size),
      pairs.map((entries) => new Map(entries)),
      fc.array(tie("any"), size).map((items) => new Set(items)),
      fc.array(fc.tuple(key, tie("any")), size).map((entries) => record(entries)),
    ),
  }
}).any

/** Any object with text keys. */
export const fields: fc.Arbitrary<{ readonly [key: string]: Canonical }> = fc
  .array(fc.tuple(key, value), { maxLength: 5 })
  .map((entries) => record(entries))

/** A plain object with these entries, whatever their keys are called. */
export function record(
  entries: Iterable<readonly [string, Canonical]>,
  prototype: object | null = Object.prototype,
): { [key: string]: Canonical } {
  const made = Object.create(prototype)
  for (const [name, item] of entries)
    Object.defineProperty(made, name, { value: item, enumerable: true, configurable: true, writable: true })
  return made
}

/** Whether two values are the same, as an actor could tell: the judge of what canonical bytes must keep apart. */
export function same(a: unknown, b: unknown, keys: "in any order" | "in order" = "in any order"): boolean {
  const all = (x: ReadonlyArray<unknown>, y: ReadonlyArray<unknown>): boolean =>
    x.length === y.length && x.every((item, i) => same(item, y[i], keys))
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b)
  if (Array.isArray(a) || Array.isArray(b)) return Array.isArray(a) && Array.isArray(b) && all(a, b)
  for (const type of [Map, Set, Uint8Array])
    if (a instanceof type || b instanceof type)
      return a instanceof type && b instanceof type && all([...a], [...b])
  if (a instanceof Date || b instanceof Date)
    return a instanceof Date && b instanceof Date && Object.is(a.getTime(), b.getTime())
  const [x, y] = [Object.entries(a), Object.entries(b)]
  if (keys === "in order") return all(x, y)
  return (
    x.length === y.length &&
    x.every(([name, item]) => Object.hasOwn(b, name) && same(item, Reflect.get(b, name), keys))
  )
}
