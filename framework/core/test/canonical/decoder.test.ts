import {
  type Canonical,
  decode,
  DEPTH_MAX,
  decodeState,
  encode,
  encodeState,
  Malformed,
} from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { flip, understood } from "../forgery.ts"
import { fields, value } from "./value.ts"

/** One byte string, one value: what is not refused as malformed is written as exactly these bytes again. */
function obeys(bytes: Uint8Array): "accepted" | "malformed" {
  const read = understood(() => ({ value: decode(bytes) }))
  if (read === undefined) return "malformed"
  if (!encode(read.value).equals(bytes)) throw new Error(`${hex(bytes)} is not the one encoding of its value`)
  return "accepted"
}

function stateObeys(bytes: Uint8Array): "accepted" | "malformed" {
  const read = understood(() => ({ value: decodeState(bytes) }))
  if (read === undefined) return "malformed"
  if (!encodeState(read.value).equals(bytes))
    throw new Error(`${hex(bytes)} is not the one encoding of its state`)
  return "accepted"
}

/** Bytes that look like a value most of the time: tags, small counts, and now and then a whole value. */
const plausible: fc.Arbitrary<Uint8Array> = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.nat(19).map((tag) => [tag]) },
      { weight: 2, arbitrary: fc.nat(3).map((count) => [count]) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 3 }).map((bytes) => Array.from(bytes)) },
      { weight: 2, arbitrary: value.map((inner) => Array.from(encode(inner))) },
      {
        weight: 2,
        arbitrary: fc.constantFrom([15], [16], [17], [18], [11, 1, 97], [11, 1, 48], [11, 1, 49]),
      },
    ),
    { minLength: 1, maxLength: 12 },
  )
  .map((pieces) => Uint8Array.from(pieces.flat()))

describe("decoding", () => {
  it("has one value for one byte string: all of up to two bytes", () => {
    const counts = { accepted: 0, malformed: 0 }
    for (let first = 0; first < 256; first++) {
      counts[obeys(Uint8Array.of(first))]++
      for (let second = 0; second < 256; second++) counts[obeys(Uint8Array.of(first, second))]++
    }
    // four constants; 128 of each of natural, negative and both bigints; "", bytes, [], {}, Map and Set that are empty
    expect(counts.accepted).toBe(4 + 4 * 128 + 6)
  })

  it("has one value for one byte string: whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void obeys(bytes)),
      { numRuns: 3000 },
    )
  })

  it("has one value for one byte string: bytes that look like a value", () => {
    const counts = { accepted: 0, malformed: 0 }
    fc.assert(
      fc.property(plausible, (bytes) => void counts[obeys(bytes)]++),
      { numRuns: 3000 },
    )
    expect(counts.accepted).toBeGreaterThan(60)
  })

  it("has one state for one byte string: bytes that look like a state", () => {
    const counts = { accepted: 0, malformed: 0 }
    const pair = fc.tuple(
      fc.constantFrom("b", "a", "0", "1", "10", "4294967294", "4294967295", "\uD800"),
      value,
    )
    const state = fc
      .array(pair, { maxLength: 5 })
      .map((pairs) =>
        Buffer.concat([Buffer.of(16, pairs.length), ...pairs.flat().map((part) => encode(part))]),
      )
    fc.assert(
      fc.property(state, (bytes) => void counts[stateObeys(bytes)]++),
      { numRuns: 2000 },
    )
    expect(counts.accepted).toBeGreaterThan(250)
    expect(counts.malformed).toBeGreaterThan(250)
  })

  it("has one value for one byte string: every value with any one bit changed", () => {
    const law = fc.property(value, (original) => {
      const bytes = encode(original).subarray(0, 60)
      for (let bit = 0; bit < bytes.length * 8; bit++) obeys(flip(bytes, bit))
    })
    fc.assert(law, { numRuns: 60 })
  })

  it("has one state for one byte string: every state with any one bit changed", () => {
    const law = fc.property(fields, (original) => {
      const bytes = encodeState(original).subarray(0, 60)
      for (let bit = 0; bit < bytes.length * 8; bit++) stateObeys(flip(bytes, bit))
    })
    fc.assert(law, { numRuns: 60 })
  })

  it("never takes a part of a value for a value, nor a value with something behind it", () => {
    const law = fc.property(value, fc.uint8Array({ minLength: 1, maxLength: 3 }), (original, more) => {
      const bytes = encode(original)
      const others: Array<Uint8Array> = [Buffer.concat([bytes, more])]
      for (let end = 0; end < bytes.length; end++) others.push(bytes.subarray(0, end))
      return others.every((other) => obeys(other) === "malformed")
    })
    fc.assert(law, { numRuns: 100 })
  })
})

describe("a second way to write a value", () => {
  const ways: ReadonlyArray<readonly [string, string]> = [
    ["a number with needless zeros", "048000"],
    ["a number that is too large", "04ffffffffffffff1f"],
    ["a number too negative to be exact", "05ffffffffffffff0f"],
    ["a whole number as a float", "063ff0000000000000"],
    ["another NaN", "067ff8000000000001"],
    ["a negative NaN", "06fff8000000000000"],
    ["a small bigint as bytes", "090105"],
    ["the largest small bigint as bytes", "09071fffffffffffff"],
    ["the most negative small bigint as bytes", "0a071fffffffffffff"],
    ["a bigint with a leading zero", "09080020000000000000"],
    ["a bigint without bytes", "0900"],
    ["a bigint too negative for its tag", "08ffffffffffffff0f"],
    ["a text that is not UTF-8", "0b01ff"],
    ["a text with an overlong character", "0b02c080"],
    ["a text with half a surrogate pair in UTF-8", "0b03eda080"],
    ["a well-formed text as an ill-formed one", "0c026100"],
    ["an ill-formed text of an odd length", "0c0300d800"],
    ["a date between two milliseconds", "0e3fe0000000000000"],
    ["a date of −0", "0e8000000000000000"],
    ["a date that is out of range", "0e7ff0000000000000"],
    ["an invalid date of another NaN", "0e7ff8000000000001"],
    ["keys that are not in order", "10020b01620004000b016100"],
    ["a key twice", "10020b0161000b016100"],
    ["a key that is no text", "1001040100"],
    ["a Map with a key twice", "1102040100040100"],
    ["a Map with the key −0", "110106800000000000000000"],
    ["a Set with an item twice", "120204010401"],
    ["a Set with two NaN", `1202${"067ff8000000000000".repeat(2)}`],
    ["a tag that is not known", "13"],
  ]

  it.for(ways)("is malformed: %s", ([, bytes]) => {
    expect(() => decode(Buffer.from(bytes, "hex"))).toThrow(Malformed)
  })
})

describe("bytes that lie", () => {
  const lie = "ffffffffffffff0f" // 2^53 − 1, as a count

  it.for(["09", "0b", "0c", "0d", "0f", "10", "11", "12"])(
    "about how much follows are refused at once: %s",
    (tag) => {
      expect(() => decode(Buffer.from(`${tag}${lie}00`, "hex"))).toThrow(Malformed)
      const long = Buffer.concat([Buffer.from(`${tag}${lie}`, "hex"), Buffer.alloc(1024 * 1024)])
      expect(() => decode(long)).toThrow(/count is larger|end too early/)
    },
  )

  it("about how deep they go do not exhaust the stack", () => {
    for (const open of ["0f01", "10010b0161", "1201"]) {
      expect(() => decode(Buffer.from(`${open.repeat(DEPTH_MAX)}00`, "hex"))).not.toThrow()
      expect(() => decode(Buffer.from(`${open.repeat(DEPTH_MAX + 1)}00`, "hex"))).toThrow(/deeper than 64/)
    }
    for (const open of ["0f01", "10010b0161", "1101", "1201"]) {
      const bottomless = Buffer.from(open.repeat(100_000), "hex")
      expect(() => decode(bottomless)).toThrow(/deeper than 64/)
    }
  })

  it("are malformed where a state is wanted and another value is there", () => {
    for (const other of [[], new Map(), "text", undefined] satisfies ReadonlyArray<Canonical>)
      expect(() => decodeState(encode(other))).toThrow(/a state is an object/)
    expect(() => decodeState(new Uint8Array(0))).toThrow(Malformed)
  })
})

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex")
}
