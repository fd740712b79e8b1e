import { isDeepStrictEqual } from "node:util"
import {
  type Canonical,
  ByteReader,
  bytesOf,
  ByteWriter,
  decode,
  decodeFrom,
  decodeState,
  encode,
  encodeInto,
  encodeShared,
  encodeState,
  type Slice,
  Unsupported,
} from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { fields, record, same, value } from "./canonical/value.ts"

describe("canonical bytes", () => {
  it("give every value back", () => {
    const law = fc.property(value, (original) => same(decode(encode(original)), original))
    fc.assert(law, { numRuns: 1500 })
  })

  it("are equal for equal values and differ for different ones", () => {
    const law = fc.property(value, value, (a, b) => encode(a).equals(encode(b)) === same(a, b))
    fc.assert(law, { numRuns: 1500 })
  })

  it("keep all small values apart: there are thousands, and no two have the same bytes", () => {
    const values = smallValues()
    const seen = new Map<string, Canonical>()
    for (const candidate of values) {
      const bytes = encode(candidate).toString("hex")
      expect(seen.get(bytes) ?? candidate, `${bytes} are the bytes of one value`).toBe(candidate)
      seen.set(bytes, candidate)
    }
    expect(values.length).toBeGreaterThan(5000)
  })

  it("are the same where many values share a buffer, and stay", () => {
    const [slices, values]: [Array<Slice>, Array<Canonical>] = [[], []]
    const law = fc.property(
      fc.oneof(value, fc.string({ minLength: 5000, maxLength: 40_000 })),
      (original) => {
        slices.push(encodeShared(original))
        values.push(original)
        expect(() => encodeShared([original, () => 1])).toThrow(Unsupported)
      },
    )
    fc.assert(law, { numRuns: 500 })
    expect(new Set(slices.map(({ buffer }) => buffer)).size).toBeGreaterThan(1)
    expect(new Set(slices.map(({ buffer }) => buffer)).size).toBeLessThan(slices.length)
    for (const [i, slice] of slices.entries()) expect(bytesOf(slice)).toEqual(encode(values[i]))
  })

  it("do not depend on the order in which an object got its keys", () => {
    const law = fc.property(fields, (object) => {
      const reversed = record(Object.entries(object).toReversed())
      expect(encode(reversed)).toEqual(encode(object))
    })
    fc.assert(law, { numRuns: 500 })
  })

  it("do not depend on whether an object has a prototype, or bytes are a Buffer", () => {
    const law = fc.property(fields, fc.uint8Array(), (object, bytes) => {
      expect(encode(record(Object.entries(object), null))).toEqual(encode(object))
      expect(encode(Buffer.from(bytes))).toEqual(encode(bytes))
    })
    fc.assert(law, { numRuns: 500 })
  })

  it("keep the order of a Map and of a Set, which an actor can observe", () => {
    const [a, b] = [[1, "x"] as const, [2, "y"] as const]
    expect(encode(new Map([a, b]))).not.toEqual(encode(new Map([b, a])))
    expect(encode(new Set([1, 2]))).not.toEqual(encode(new Set([2, 1])))
  })

  it("are the same whatever NaN came of the arithmetic", () => {
    const bits = new BigUint64Array([0xfff8000000000000n, 0x7ff8000000000001n, 0x7ff0000000000001n])
    for (const nan of new Float64Array(bits.buffer)) {
      expect(encode(nan).toString("hex")).toBe("067ff8000000000000")
      expect(encode(new Date(nan)).toString("hex")).toBe("0e7ff8000000000000")
    }
  })

  it("are these, in this version and every later one", () => {
    const known: ReadonlyArray<readonly [Canonical, string]> = [
      [null, "00"],
      [undefined, "01"],
      [false, "02"],
      [true, "03"],
      [0, "0400"],
      [300, "04ac02"],
      [-1, "0500"],
      [-0, "068000000000000000"],
      [0.5, "063fe0000000000000"],
      [0n, "0700"],
      [-1n, "0800"],
      [2n ** 53n, "090720000000000000"],
      [-(2n ** 53n), "0a0720000000000000"],
      ["é", "0b02c3a9"],
      ["\uD800", "0c0200d8"],
      [new Uint8Array([1, 2]), "0d020102"],
      [new Date(1), "0e3ff0000000000000"],
      [[1], "0f010401"],
      [{ b: 1, a: 2 }, "10020b016104020b01620401"],
      [new Map([[1, 2]]), "110104010402"],
      [new Set([1]), "12010401"],
    ]
    for (const [original, hex] of known) {
      expect(encode(original).toString("hex")).toBe(hex)
      expect(same(decode(Buffer.from(hex, "hex")), original)).toBe(true)
    }
  })

  it("belong to whoever asked for them: a later value does not overwrite them", () => {
    const first = encode(["first"])
    encode(["another, and a longer one"])
    expect(decode(first)).toEqual(["first"])
    const bytes = Buffer.from(encode(new Uint8Array([1, 2, 3])))
    const read = decode(bytes)
    bytes.fill(0)
    expect(read).toEqual(new Uint8Array([1, 2, 3]))
  })

  it("follow each other in one writer, and a value that is refused leaves no trace there", () => {
    const writer = new ByteWriter()
    encodeInto(writer, "before")
    expect(() => encodeInto(writer, [1, { deep: [Symbol("no")] }])).toThrow(Unsupported)
    encodeInto(writer, "after")
    const reader = new ByteReader(writer.take())
    expect([decodeFrom(reader), decodeFrom(reader), reader.remaining]).toEqual(["before", "after", 0])
  })
})

describe("the canonical bytes of a state", () => {
  it("restore it so that an actor could not tell: values, prototypes, and the order of keys", () => {
    const law = fc.property(fields, (state) => {
      const restored = decodeState(encodeState(state))
      return same(restored, state, "in order") && isDeepStrictEqual(restored, state)
    })
    fc.assert(law, { numRuns: 1500 })
  })

  it("are equal for states that are equal in everything, the order of keys included", () => {
    const law = fc.property(fields, fields, (a, b) => {
      const shuffled = record(Object.entries(a).toReversed())
      expect(encodeState(a).equals(encodeState(b))).toBe(same(a, b, "in order"))
      expect(encodeState(a).equals(encodeState(shuffled))).toBe(same(a, shuffled, "in order"))
    })
    fc.assert(law, { numRuns: 1000 })
  })

  it("are those of the fields, whatever class they are of", () => {
    class Account {
      balance = 100n
      readonly owner = "alice"
      total(): bigint {
        return this.balance
      }
    }
    expect(decodeState(encodeState(new Account()))).toEqual({ balance: 100n, owner: "alice" })
  })
})

/** Leaves that could be confused with each other, and every container of one or two of them. */
function smallValues(): ReadonlyArray<Canonical> {
  const leaves = new Array<Canonical>().concat(
    [undefined, null, false, true, new Date(0), new Date(1), new Date(Number.NaN)],
    [0, -0, 1, -1, NaN, Infinity, 0.5, 11, 2 ** 53],
    ["", "0", "a", "\0", "\uD800", "\uDC00", "\uFFFD"],
    [0n, 1n, -1n, 2n ** 53n, -(2n ** 53n)],
    [[], [0], [0, 0], [97]].map((bytes) => new Uint8Array(bytes)),
    [{}, new Map<never, never>(), new Set<never>()],
    [[]],
  )
  const keys = leaves.filter((leaf) => !Object.is(leaf, -0))
  return [
    ...leaves,
    ...leaves.flatMap((a) => [[a], { a }, { b: a }]),
    ...leaves.flatMap((a) => leaves.flatMap((b) => [[a, b], { a, b }])),
    ...keys.flatMap((key) => [new Set([key]), ...leaves.map((item) => new Map([[key, item]]))]),
    ...keys.flatMap((a) => keys.filter((b) => !Object.is(a, b)).map((b) => new Set([a, b]))),
  ]
}
