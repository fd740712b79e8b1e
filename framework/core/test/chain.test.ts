import { type Digest, type Entry, extend, genesis } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"

const entry: fc.Arbitrary<Entry> = fc.record({
  seq: fc.integer({ min: 1, max: 2 ** 53 - 1 }),
  timeNs: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  source: fc.constantFrom("client.a", "client.b", "replica.r0"),
  payload: fc.uint8Array({ maxLength: 20 }),
})
const entries = fc.array(entry, { maxLength: 6 })

function chainOf(history: ReadonlyArray<Entry>, logId = "log"): Digest {
  return history.reduce(extend, genesis(logId))
}

function textOf(history: ReadonlyArray<Entry>): string {
  return JSON.stringify(
    history.map(({ seq, timeNs, source, payload }) => [seq, String(timeNs), source, [...payload]]),
  )
}

describe("the chain of a log", () => {
  it("is what sha256sum makes of the same bytes, in this version and every later one", () => {
    const start = genesis("bank-0")
    const first = extend(start, entryAt(1, 1_700_000_000_000_000_000n, "first"))
    const second = extend(first, entryAt(2, 1_700_000_000_000_000_001n, ""))
    expect([start, first, second]).toEqual([
      "16ae2600a21e082353510a555bf8f7c0cb1af9057ef45daaa35fcd5ab9b1a834",
      "b262564b93fbc9b30eae6ae814165295cc632ae98939c0c79cf79119c22e55a7",
      "c15ae0b31825698ab9d9c9eccf92c2a9089648e2af374e7f7899562aebd3d369",
    ])
  })

  it("is equal for equal histories, and for no others", () => {
    const law = fc.property(entries, entries, (a, b) => {
      expect(chainOf(a)).toBe(chainOf(a.map((one) => ({ ...one, payload: Buffer.from(one.payload) }))))
      expect(chainOf(a) === chainOf(b)).toBe(textOf(a) === textOf(b))
    })
    fc.assert(law, { numRuns: 300 })
  })

  it("changes with each part of each entry", () => {
    const law = fc.property(fc.array(entry, { minLength: 1, maxLength: 5 }), fc.nat(), (history, at) => {
      const index = at % history.length
      const old = history[index] ?? entryAt(1, 0n, "")
      const changes: ReadonlyArray<Partial<Entry>> = [
        { seq: old.seq === 1 ? 2 : old.seq - 1 },
        { timeNs: old.timeNs ^ 1n },
        { source: `${old.source}x` },
        { payload: Uint8Array.from([...old.payload, 0]) },
        { payload: Uint8Array.from([0, ...old.payload]) },
        { payload: old.payload.length > 0 ? old.payload.slice(1) : Uint8Array.of(0) },
      ]
      for (const change of changes)
        expect(chainOf(history.with(index, { ...old, ...change }))).not.toBe(chainOf(history))
    })
    fc.assert(law, { numRuns: 300 })
  })

  it("changes with the order of entries, and when one is left out or comes twice", () => {
    const [a, b, c] = [entryAt(1, 5n, "a"), entryAt(2, 5n, "b"), entryAt(3, 5n, "c")]
    const histories = [
      [a, b, c],
      [b, a, c],
      [a, c, b],
      [a, c],
      [b, c],
      [a, b],
      [a, a, b, c],
      [a, b, c, c],
      [],
    ]
    expect(new Set(histories.map((history) => chainOf(history))).size).toBe(histories.length)
  })

  it("keeps apart what stands next to each other: a byte does not wander from one part to the next", () => {
    const histories = [
      [entryAt(1, 0n, "ab"), entryAt(2, 0n, "c")],
      [entryAt(1, 0n, "a"), entryAt(2, 0n, "bc")],
      [entryAt(1, 0n, "abc")],
      [entryAt(1, 0n, "\0")],
      [entryAt(256, 0n, "")],
      [entryAt(1, 256n, "")],
    ]
    expect(new Set(histories.map((history) => chainOf(history))).size).toBe(histories.length)
  })

  it("begins with the log's own id, so that a log that was made again is another log", () => {
    const law = fc.property(fc.string(), fc.string(), entries, (one, other, history) => {
      expect(chainOf(history, one) === chainOf(history, other)).toBe(one === other)
    })
    fc.assert(law)
  })
})

function entryAt(seq: number, timeNs: bigint, payload: string): Entry {
  return { seq, timeNs, source: "client.c", payload: Buffer.from(payload) }
}
