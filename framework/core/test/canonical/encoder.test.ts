import { DEPTH_MAX, decode, decodeState, encode, encodeState, Unsupported } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { same, value } from "./value.ts"

class Money extends Map<string, number> {}
class List extends Array<number> {}
class Moment extends Date {}
class Bits extends Uint8Array {}
const Nameless = Object.defineProperty(class extends Object {}, "name", { value: "" })

/** What has no canonical bytes: where the refusal says that it is, and what it says. */
const refused: ReadonlyArray<readonly [string, unknown, string, RegExp]> = [
  ["a function", { a: [() => 1] }, ".a[0]", /is a function: only data/],
  ["a symbol", new Map([["k", Symbol("s")]]), '.get("k")', /is a symbol: only data/],
  ["a symbol in a Set", [new Set([Symbol("s")])], "[0]{…}", /is a symbol: only data/],
  ["a symbol as a key", { a: { [Symbol("s")]: 1 } }, ".a", /has a symbol as a key/],
  ["an instance of a class", { at: new URL("a:b") }, ".at", /is an instance of URL: use plain objects/],
  ["an instance of a class without a name", [new Nameless()], "[0]", /is an object with a prototype of its/],
  ["an error", [new RangeError("x")], "[0]", /is an instance of RangeError/],
  ["a promise", Promise.resolve(1), "", /is an instance of Promise/],
  ["a boxed number", new Map([[1, Object(1)]]), ".get(1)", /is an instance of Number/],
  ["numbers of 16 bits", new Uint16Array(1), "", /is an instance of Uint16Array/],
  ["a subclass of Map", { money: new Money() }, ".money", /is an instance of Money/],
  ["a subclass of Array", [new List()], "[0]", /is an instance of List/],
  ["a subclass of Date", [new Moment(0)], "[0]", /is an instance of Moment/],
  ["a subclass of Uint8Array", [new Bits(1)], "[0]", /is an instance of Bits/],
  ["a hole in an array", { a: Object.assign([0, 1], { length: 3 }) }, ".a[2]", /is a hole/],
  ["four billion holes", Object.assign([], { length: 2 ** 32 - 1 }), "[0]", /is a hole/],
  [
    "a getter",
    { a: Object.defineProperty({}, "b", { get: raise, enumerable: true }) },
    ".a.b",
    /is a getter/,
  ],
  ["a setter", [Object.defineProperty({}, "b", { set: raise, enumerable: true })], "[0].b", /or a setter/],
  ["a hidden property", [Object.defineProperty({}, "b", { value: 1 })], "[0]", /is not enumerable/],
  ["a Map with a property", { m: Object.assign(new Map(), { extra: 1 }) }, ".m", /properties of its own/],
  ["a Set with a property", { s: Object.assign(new Set(), { extra: 1 }) }, ".s", /properties of its own/],
  [
    "a Date with its own time",
    [Object.assign(new Date(0), { getTime: raise })],
    "[0]",
    /properties of its own/,
  ],
]

/** What only a state may not hold, as recovery would change how it behaves. */
const refusedInState: ReadonlyArray<readonly [string, unknown, string, RegExp]> = [
  ["a Buffer, whose toString is not that of a Uint8Array", [Buffer.from("x")], "[0]", /is a Buffer/],
  ["an object without a prototype", [Object.create(null)], "[0]", /has no prototype/],
  ["an array with properties", ["ab".match(/b/)], "[0]", /with properties beside its items/],
]

describe("a value that has no canonical bytes", () => {
  it.for(refused)(
    "is refused in a value and in a state, and the place is named: %s",
    ([, bad, path, reason]) => {
      const { path: where, reason: why } = refusal(() => encode(bad, "result"))
      expect([where, why]).toEqual([`result${path}`, expect.stringMatching(reason)])
      const inState = refusal(() => encodeState({ field: bad }, "Account(alice)"))
      expect([inState.path, inState.reason]).toEqual([`Account(alice).field${path}`, why])
      expect(inState.message).toBe(`${inState.path} ${inState.reason}`)
    },
  )

  it.for(refusedInState)("is refused in a state, where it goes on living: %s", ([, bad, path, reason]) => {
    expect(() => encode(bad)).not.toThrow()
    const { path: where, reason: why } = refusal(() => encodeState({ field: bad }))
    expect([where, why]).toEqual([`state.field${path}`, expect.stringMatching(reason)])
  })

  it("is refused without asking it how it wants to be shown", () => {
    const shy = { toString: raise, valueOf: raise, [Symbol.toPrimitive]: raise }
    const Odd = Object.defineProperty(class extends Object {}, "name", { value: shy })
    const map = (key: unknown) => new Map([[key, Symbol("s")]])
    expect(refusal(() => encode(map({ toString: 1 }))).path).toBe("value.get(…)")
    expect(refusal(() => encode(map(Object.create(null)))).path).toBe("value.get(…)")
    expect(refusal(() => encode(map(shy))).path).toBe("value.get(…)")
    expect(refusal(() => encode(new Odd())).reason).toMatch(/is an/)
    expect(refusal(() => encode(Object.create({ constructor: shy }))).reason).toMatch(/is an object/)
    expect(
      refusal(() =>
        encode(
          Object.create({
            get constructor() {
              return raise()
            },
          }),
        ),
      ).reason,
    ).toMatch(/is an/)
  })

  it("is refused with the same error when reading it throws, which only a cheat does", () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    const cheats = [Map, Set, Date, Uint8Array, Buffer].map((type) => Object.create(type.prototype))
    for (const cheat of [proxy, new Proxy({}, { ownKeys: raise }), ...cheats]) {
      const error = refusal(() => encode([cheat], "result"))
      expect([error.path, error.reason]).toEqual(["result", expect.stringMatching(/cannot be read/)])
      expect(error.cause).toBeInstanceOf(Error)
    }
  })
})

describe("any value at all", () => {
  const anything = fc.anything({
    withBigInt: true,
    withBoxedValues: true,
    withDate: true,
    withMap: true,
    withNullPrototype: true,
    withObjectString: true,
    withSet: true,
    withSparseArray: true,
    withTypedArray: true,
    withUnicodeString: true,
  })

  it("is refused, or it is given back: nothing of it is lost in silence", () => {
    const law = fc.property(anything, (candidate) => {
      const bytes = attempt(() => encode(candidate))
      return bytes === undefined || same(decode(bytes), candidate)
    })
    fc.assert(law, { numRuns: 3000 })
  })

  it("is refused in a state, or it is restored in every detail", () => {
    const law = fc.property(anything, (field) => {
      const bytes = attempt(() => encodeState({ field }))
      expect(bytes === undefined ? { field } : decodeState(bytes)).toStrictEqual({ field })
    })
    fc.assert(law, { numRuns: 3000 })
  })
})

describe("depth", () => {
  const wraps: ReadonlyArray<(inner: unknown) => unknown> = [
    (inner) => [inner],
    (inner) => ({ inner }),
    (inner) => new Map([[inner, 0]]),
    (inner) => new Set([inner]),
  ]
  const nested = (wrap: (inner: unknown) => unknown, depth: number): unknown =>
    Array.from({ length: depth }).reduce<unknown>((inner) => wrap(inner), 0)

  it.for(wraps)("is limited, for each kind of container", (wrap) => {
    const deepest = nested(wrap, DEPTH_MAX)
    expect(same(decode(encode(deepest)), deepest)).toBe(true)
    const { reason } = refusal(() => encode(nested(wrap, DEPTH_MAX + 1)))
    expect(reason).toBe(`is nested deeper than ${DEPTH_MAX} levels, or cyclic`)
    expect(() => encodeState({ field: nested(wrap, DEPTH_MAX - 1) })).not.toThrow()
    expect(() => encodeState({ field: nested(wrap, DEPTH_MAX) })).toThrow(/nested deeper/)
  })

  it("has no bottom in a cycle, so that is refused as well", () => {
    const cycle: { next?: unknown } = {}
    cycle.next = cycle
    const { path, reason } = refusal(() => encode(cycle))
    expect([path, reason]).toEqual([`value${".next".repeat(DEPTH_MAX)}`, expect.stringMatching(/or cyclic/)])
    expect(refusal(() => encodeState(cycle)).reason).toMatch(/reachable by two paths/)
  })
})

describe("a part that is shared", () => {
  it("is written twice in a value, and refused in a state, which is a tree", () => {
    const containers = value.filter((part) => typeof part === "object" && part !== null)
    const law = fc.property(containers, (part) => {
      expect(decode(encode([part, part]))).toHaveLength(2)
      const { path, reason } = refusal(() => encodeState({ a: { part }, b: new Map([["k", part]]) }))
      expect([path, reason]).toEqual(['state.b.get("k")', expect.stringMatching(/reachable by two paths/)])
    })
    fc.assert(law, { numRuns: 100 })
  })

  it("may be the buffer under two views, which recovery would part", () => {
    const buffer = new ArrayBuffer(8)
    const [head, tail] = [new Uint8Array(buffer, 0, 4), new Uint8Array(buffer, 4)]
    expect(refusal(() => encodeState({ head, tail })).path).toBe("state.tail")
    expect(() => encodeState({ head, tail: tail.slice() })).not.toThrow()
  })

  it("is forgotten once a state is written, or refused: the next may hold it again", () => {
    const part = [1]
    expect(() => encodeState({ part, bad: Symbol("s") })).toThrow(Unsupported)
    expect(encodeState({ part })).toEqual(encodeState({ part }))
  })
})

describe("an actor that is itself a container", () => {
  it.for([new Money([["CHF", 1]]), new List(1, 2), new Moment(0), new Bits(1)])("is refused", (actor) => {
    const { path, reason } = refusal(() => encodeState(actor))
    expect([path, reason]).toEqual(["state", expect.stringMatching(/holds more than its fields/)])
  })
})

function refusal(write: () => unknown): Unsupported {
  try {
    write()
  } catch (error) {
    if (error instanceof Unsupported) return error
    throw error
  }
  throw new Error("it was not refused")
}

/** What was written, or undefined where it was refused. Any other error fails the test. */
function attempt<Result>(write: () => Result): Result | undefined {
  try {
    return write()
  } catch (error) {
    if (error instanceof Unsupported) return undefined
    throw error
  }
}

function raise(): never {
  throw new Error("this was called")
}
