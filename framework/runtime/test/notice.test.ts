import { ClientId, encode, NAME_LENGTH_MAX } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  decodeNotice,
  decodeTold,
  encodeNotice,
  encodeTold,
  isTold,
  NOTICE_CALLS_MAX,
} from "../src/telemetry/notice.ts"
import { Rate } from "../src/telemetry/rate.ts"

const text = fc.stringMatching(/^[A-Za-z/]{0,40}$/)
const call = fc.record({
  index: fc.maxSafeNat(),
  type: text,
  member: text,
  trace: fc.stringMatching(/^[0-9a-f-]{0,55}$/),
})
const notice = fc.record({
  client: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/).map(ClientId),
  seq: fc.maxSafeNat(),
  calls: fc.array(call, { maxLength: NOTICE_CALLS_MAX }),
})

describe("a notice of a dissent", () => {
  it("says what it was made of", () => {
    const law = fc.property(notice, (said) => {
      expect(decodeNotice(encodeNotice(said))).toEqual(said)
    })
    fc.assert(law)
  })

  it("is none where the bytes are anything else, and never throws", () => {
    const nonsense = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.jsonValue().map((value) => encode(value)),
    )
    fc.assert(
      fc.property(nonsense, (bytes) => decodeNotice(bytes) === undefined),
      { numRuns: 1000 },
    )
  })

  const fits = ["Type", "member", "00-"]
  it.each([
    ["a list that is none", { client: "c", seq: 1, calls: 7 }],
    ["too many calls", { client: "c", seq: 1, calls: Array.from({ length: 9 }, (_, i) => [i, ...fits]) }],
    [
      "a name that is too long",
      { client: "c", seq: 1, calls: [[0, "x".repeat(NAME_LENGTH_MAX + 1), "m", "00-"]] },
    ],
    ["an index that is no count", { client: "c", seq: 1, calls: [[-1, ...fits]] }],
    ["a position that is no count", { client: "c", seq: 1.5, calls: [] }],
    ["a client that is none", { client: "vote.>", seq: 1, calls: [] }],
  ])("is none with %s", (_, fields) => {
    expect(decodeNotice(encode(fields))).toBeUndefined()
  })

  it("is none where it is larger than it need be", () => {
    const padded = { client: "c", seq: 1, calls: [], more: "x".repeat(8 * 1024) }
    expect(decodeNotice(encode({ ...padded, more: "x" }))).toEqual({ client: "c", seq: 1, calls: [] })
    expect(decodeNotice(encode(padded))).toBeUndefined()
  })
})

describe("the answer to a notice", () => {
  it("says what it was made of, and is no vote", () => {
    const spans = fc.dictionary(fc.nat().map(String), fc.stringMatching(/^[0-9a-f]{16}$/), {
      maxKeys: NOTICE_CALLS_MAX,
    })
    const law = fc.property(fc.maxSafeNat(), spans, (seq, byIndex) => {
      const told = { seq, spans: new Map(Object.entries(byIndex).map(([index, id]) => [Number(index), id])) }
      const bytes = encodeTold(told)
      expect([isTold(bytes), bytes[0] === 0x56 || bytes[0] === 0x57]).toEqual([true, false])
      expect(decodeTold(bytes)).toEqual(told)
    })
    fc.assert(law)
  })

  it("is none where the bytes are anything else, and never throws", () => {
    const nonsense = fc.uint8Array({ maxLength: 200 })
    fc.assert(
      fc.property(nonsense, (bytes) => decodeTold(bytes) === undefined),
      { numRuns: 1000 },
    )
  })
})

describe("a rate", () => {
  it("lets through so many at once, and so many in a second", () => {
    const rate = new Rate(4, 0)
    const taken = (nowMs: number): number =>
      Array.from({ length: 9 }, () => rate.take(nowMs)).filter(Boolean).length
    expect([0, 0, 250, 500, 10_000, 9_000].map(taken)).toEqual([4, 0, 1, 1, 4, 0])
  })
})
