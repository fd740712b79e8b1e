import {
  ByteWriter,
  decodeOutcomes,
  splitOutcomes,
  type Outcome,
  type Refusal,
  Unsupported,
  writeRefused,
  writeReturned,
  writeThrew,
} from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { same, value } from "./canonical/value.ts"
import { forged, understood } from "./forgery.ts"
import { text, wellFormed } from "./text.ts"

const refusals = [
  "UnknownActor",
  "UnknownMethod",
  "InvalidArgument",
  "ResultUnsupported",
  "ResultTooLarge",
  "StateUnsupported",
  "QueryChangedState",
  "Nondeterminism",
  "AsyncCommand",
  "SessionExpired",
  "NumberReused",
] as const satisfies ReadonlyArray<Refusal>

const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  fc.record({ _tag: fc.constant("Returned" as const), value }),
  fc.record({ _tag: fc.constant("Threw" as const), code: text, data: value }),
  fc.record({
    _tag: fc.constant("Refused" as const),
    reason: fc.constantFrom(...refusals),
    detail: wellFormed,
  }),
)

function written(outcomes: ReadonlyArray<Outcome>): Buffer {
  const writer = new ByteWriter(16)
  for (const one of outcomes) {
    switch (one._tag) {
      case "Returned":
        writeReturned(writer, one.value)
        break
      case "Threw":
        writeThrew(writer, one.code, one.data)
        break
      case "Refused":
        writeRefused(writer, one.reason, one.detail)
    }
  }
  return writer.take()
}

describe("the outcomes of a batch", () => {
  it("are the bytes of each of them, one after the other", () => {
    const law = fc.property(fc.array(outcome, { maxLength: 6 }), (outcomes) => {
      const parts = splitOutcomes(written(outcomes), outcomes.length)
      expect(parts).toEqual(outcomes.map((one) => written([one])))
    })
    fc.assert(law)
  })

  it("arrive as they were written, in order", () => {
    const law = fc.property(fc.array(outcome, { maxLength: 6 }), (outcomes) => {
      return same(decodeOutcomes(written(outcomes), outcomes.length), outcomes)
    })
    fc.assert(law, { numRuns: 1000 })
  })

  it("are equal in bytes only if they are equal: replicas vote on a digest of these", () => {
    const law = fc.property(outcome, outcome, (a, b) => written([a]).equals(written([b])) === same(a, b))
    fc.assert(law, { numRuns: 1000 })
  })

  it("are malformed when their number is another one", () => {
    const law = fc.property(fc.array(outcome, { maxLength: 4 }), fc.nat(8), (outcomes, count) => {
      const read = understood(() => decodeOutcomes(written(outcomes), count))
      return (read !== undefined) === (count === outcomes.length)
    })
    fc.assert(law, { numRuns: 300 })
  })

  it("that no replica wrote are malformed, or they say exactly what their bytes say", () => {
    const counts = { understood: 0, malformed: 0 }
    const genuine = fc.array(outcome, { minLength: 2, maxLength: 2 }).map(written)
    const law = fc.property(forged(genuine), (bytes) => {
      const read = understood(() => decodeOutcomes(bytes, 2))
      counts[read === undefined ? "malformed" : "understood"]++
      return read === undefined || written(read).equals(bytes)
    })
    fc.assert(law, { numRuns: 2000 })
    expect(Math.min(counts.understood, counts.malformed)).toBeGreaterThan(200)
  })

  it.for([
    ["a kind that there is not", "03"],
    ["a refusal that there is not", "020b00"],
    ["a code that is no text", "01000400"],
    ["a value that is none", "0013"],
  ] as const)("are malformed with %s", ([, hex]) => {
    expect(understood(() => decodeOutcomes(Buffer.from(hex, "hex"), 1))).toBe(undefined)
  })

  it("are these bytes, in this version and every later one", () => {
    expect(written([{ _tag: "Returned", value: null }]).toString("hex")).toBe("0000")
    expect(written([{ _tag: "Threw", code: "No", data: 1 }]).toString("hex")).toBe("010b024e6f0401")
    for (const [index, reason] of refusals.entries())
      expect([...written([{ _tag: "Refused", reason, detail: "" }])]).toEqual([2, index, 0])
  })
})

describe("an outcome that cannot be written", () => {
  const writing: ReadonlyArray<readonly [string, (writer: ByteWriter) => void, string]> = [
    ["a result", (writer) => writeReturned(writer, [1, Symbol("s")]), "result[1]"],
    ["data of an error", (writer) => writeThrew(writer, "Code", { a: Symbol("s") }), "data.a"],
    ["a code that is no text", (writer) => writeThrew(writer, 404 as never, null), "code"],
  ]

  it.for(writing)("leaves no trace, and the error names the place: %s", ([, write, path]) => {
    const writer = new ByteWriter()
    writeReturned(writer, "before")
    const { length } = writer
    expect(() => write(writer)).toThrow(Unsupported)
    expect(() => write(writer)).toThrow(expect.objectContaining({ path }))
    expect(writer.length).toBe(length)
  })

  it("may have a detail that is not well-formed text: that is mended, as nobody votes against it", () => {
    const writer = new ByteWriter()
    writeRefused(writer, "UnknownActor", "no \uD800 here")
    expect(decodeOutcomes(writer.take(), 1)).toEqual([
      { _tag: "Refused", reason: "UnknownActor", detail: "no \uFFFD here" },
    ])
  })
})
