import { ErasureCode, Malformed, SHARDS_MAX } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { flip, understood } from "./forgery.ts"

const END = 0x80

const code = fc
  .record({ data: fc.integer({ min: 1, max: 12 }), parity: fc.nat(12) })
  .map((options) => new ErasureCode(options))
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  // what the end of the bytes could be taken for
  fc.array(fc.constantFrom(0, END), { maxLength: 40 }).map((array) => Uint8Array.from(array)),
)

describe("the shards of an erasure code", () => {
  // testOneEncode of Backblaze's library, and of Klaus Post's; a third column holds the end mark
  it("have the parity that other libraries compute", () => {
    const written = [
      [0, 1, 0],
      [4, 5, 0],
      [2, 3, 0],
      [6, 7, 0],
      [8, 9],
    ].flat()
    const shards = new ErasureCode({ data: 5, parity: 5 }).encode(Buffer.from(written))
    expect(shards.map(([first, second]) => [first, second])).toEqual([
      [0, 1],
      [4, 5],
      [2, 3],
      [6, 7],
      [8, 9],
      [12, 13],
      [10, 11],
      [14, 15],
      [90, 91],
      [94, 95],
    ])
    expect(shards.slice(0, 5).map(([, , third]) => third)).toEqual([0, 0, 0, 0, END])
  })

  it("are the bytes themselves, cut into pieces of one length, and parity", () => {
    const shards = new ErasureCode({ data: 3, parity: 2 }).encode(Buffer.from("abcdefgh"))
    expect(shards.slice(0, 3).map((shard) => shard.toString("latin1"))).toEqual(["abc", "def", "gh\x80"])
    const law = fc.property(code, bytes, (some, written) => {
      const { data, parity } = some
      const all = some.encode(written)
      expect(all).toHaveLength(data + parity)
      expect(new Set(all.map(({ length }) => length))).toEqual(
        new Set([data === 1 ? written.length : Math.ceil((written.length + 1) / data)]),
      )
      expect(Buffer.concat(all.slice(0, data)).subarray(0, written.length).equals(written)).toBe(true)
    })
    fc.assert(law)
  })

  it("are copies of the bytes where one is enough", () => {
    const written = Buffer.from("copied")
    const shards = new ErasureCode({ data: 1, parity: 2 }).encode(written)
    expect(shards.map(String)).toEqual(["copied", "copied", "copied"])
    written.fill(0)
    expect(shards.map(String)).toEqual(["copied", "copied", "copied"])
  })
})

describe("any shards that are enough", () => {
  it("restore the bytes: every choice of every code of up to eight shards", () => {
    const written = Buffer.from("a pinch of salt")
    const offending: Array<unknown> = []
    for (let data = 1; data <= 8; data++)
      for (let parity = 0; data + parity <= 8; parity++) {
        const small = new ErasureCode({ data, parity })
        const shards = small.encode(written)
        for (const chosen of choices(data, shards.length))
          if (!small.decode(pick(shards, chosen)).equals(written)) offending.push([data, parity, chosen])
      }
    expect(offending).toEqual([])
  })

  it("restore the bytes, in whatever order they come, with more than enough too", () => {
    const law = fc.property(code, bytes, fc.gen(), (some, written, any) => {
      const shards = some.encode(written)
      const indices = shards.map((_, i) => i)
      const chosen = any(fc.shuffledSubarray, indices, { minLength: some.data })
      expect(some.decode(pick(shards, chosen)).equals(written)).toBe(true)
    })
    fc.assert(law, { numRuns: 500 })
  })

  it.for([
    [254, 1],
    [128, 127],
    [2, 253],
    [SHARDS_MAX, 0],
  ] as const)("restore the bytes of the largest codes: %i and %i", ([data, parity]) => {
    const large = new ErasureCode({ data, parity })
    const written = Buffer.from(Uint8Array.from({ length: 1000 }, (_, i) => i * i))
    const shards = large.encode(written)
    const last = shards.map((_, i) => i).slice(-data)
    expect(large.decode(pick(shards, last)).equals(written)).toBe(true)
  })

  it("restore something else, or nothing, when one that is used is wrong: its digest is for others to check", () => {
    const law = fc.property(code, bytes, fc.nat(), (some, written, bit) => {
      const shards = some.encode(written)
      const wrong = bit % some.data
      const given = new Map<number, Uint8Array>(shards.entries()).set(
        wrong,
        flip(shards[wrong] ?? new Uint8Array(), bit),
      )
      const restored = understood(() => some.decode(given))
      return shards[0]?.length === 0 || restored === undefined || !restored.equals(written)
    })
    fc.assert(law)
  })
})

describe("shards that nobody encoded are malformed", () => {
  const some = new ErasureCode({ data: 3, parity: 2 })
  const shards = some.encode(Buffer.from("abcdefgh"))

  it("when they are too few", () => {
    expect(() => some.decode(pick(shards, [0, 4]))).toThrow(
      "2 shards are there, and it takes 3 to restore the bytes",
    )
    expect(() => some.decode(new Map())).toThrow(Malformed)
  })

  it.for([-1, 5, 0.5, NaN, Infinity])("when the code has no shard %d", (index) => {
    const given = pick(shards, [0, 1, 2]).set(index, Buffer.alloc(3))
    expect(() => some.decode(given)).toThrow(`a code of 5 shards has no shard ${index}`)
  })

  it("when they differ in length", () => {
    const given = pick(shards, [0, 1]).set(4, Buffer.alloc(4))
    expect(() => some.decode(given)).toThrow(/^the shards differ in length$/)
  })

  it.for(["000000 000000 000000", "800000 000000 000000", "616263 646566 676801", "  "])(
    "when the bytes do not end where they may: %s",
    (hex) => {
      const given = new Map(hex.split(" ").map((shard, i) => [i, Buffer.from(shard, "hex")]))
      expect(() => some.decode(given)).toThrow("the restored bytes have no end mark: a shard is wrong")
    },
  )

  it("and whatever they are, nothing but Malformed is said; what is read would be written alike", () => {
    const lengths = fc.nat(4).chain((length) => {
      const shard = fc.oneof(
        fc.uint8Array({ minLength: length, maxLength: length }),
        fc.array(fc.constantFrom(0, END), { minLength: length, maxLength: length }),
      )
      return fc.array(fc.tuple(fc.nat(5), shard), { maxLength: 6 })
    })
    const law = fc.property(lengths, (entries) => {
      const given = new Map(entries.map(([index, shard]) => [index, Uint8Array.from(shard)] as const))
      const restored = understood(() => some.decode(given))
      if (restored === undefined) return
      const used = [...given].toSorted(([a], [b]) => a - b).slice(0, 3)
      const again = some.encode(restored)
      for (const [index, shard] of used) expect([...(again[index] ?? [])]).toEqual([...shard])
    })
    fc.assert(law, { numRuns: 2000 })
  })
})

describe("a code is refused, with the number that is wrong,", () => {
  it.for([
    [0, 1, "data must be a whole number from 1, not 0"],
    [1.5, 1, "data must be a whole number from 1, not 1.5"],
    [NaN, 1, "data must be a whole number from 1, not NaN"],
    [1, -1, "parity must be a whole number from 0, not -1"],
    [1, undefined as never, "parity must be a whole number from 0, not undefined"],
    [254, 2, "a code has at most 255 shards, not 254 of data and 2 of parity"],
  ] as const)("with %d and %d", ([data, parity, message]) => {
    expect(() => new ErasureCode({ data, parity })).toThrow(new RangeError(message))
  })
})

/** All choices of so many of the first `size` indices. */
function choices(count: number, size: number): ReadonlyArray<ReadonlyArray<number>> {
  if (count === 0) return [[]]
  if (size < count) return []
  const last = size - 1
  return [...choices(count, last), ...choices(count - 1, last).map((rest) => rest.concat(last))]
}

function pick(shards: ReadonlyArray<Buffer>, indices: ReadonlyArray<number>): Map<number, Uint8Array> {
  return new Map(indices.map((index) => [index, shards[index] ?? new Uint8Array()]))
}
