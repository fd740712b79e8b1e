import { Malformed } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { decodeTransfer, encodeTransfer, type TransferMessage } from "../src/transfer.ts"

const messages: ReadonlyArray<TransferMessage> = [
  { _tag: "Asks", request: { _tag: "Manifest", seq: 7 } },
  {
    _tag: "Asks",
    request: {
      _tag: "Pieces",
      seq: 7,
      wanted: [
        { index: 1, part: 0 },
        { index: 4095, part: 3 },
      ],
    },
  },
  { _tag: "Answers", answer: { _tag: "Gone", seq: 7 } },
  { _tag: "Answers", answer: { _tag: "Paused", seq: 7 } },
  { _tag: "Answers", answer: { _tag: "Manifest", header: Uint8Array.of(1, 2), buckets: [] } },
  {
    _tag: "Answers",
    answer: { _tag: "Piece", seq: 7, index: 3, part: 0, parts: 2, bytes: Uint8Array.of(5) },
  },
]

describe("a message of a transfer", () => {
  it.each(messages)("arrives as it was sent: %j", (message) => {
    expect(decodeTransfer(encodeTransfer(message))).toEqual(message)
  })

  it("is malformed, and nothing else, where it is garbage", () => {
    const damaged = fc
      .tuple(fc.constantFrom(...messages.map(encodeTransfer)), fc.nat(), fc.nat(255))
      .map(([bytes, at, value]) => Buffer.from(bytes).fill(value, at % bytes.length, (at % bytes.length) + 1))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), damaged), (bytes) => {
        expect(complaintOf(bytes) ?? new Malformed("none")).toBeInstanceOf(Malformed)
      }),
      { numRuns: 2000 },
    )
  })
})

/** What is wrong with these bytes, if anything is. */
function complaintOf(bytes: Uint8Array): unknown {
  try {
    decodeTransfer(bytes)
    return undefined
  } catch (cause) {
    return cause
  }
}
