import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { EXECUTIONS_MAX, OUTCOME_BYTES_MAX, RecentExecutions } from "../src/telemetry/recent-executions.ts"

const executed = (outcomes: Uint8Array) => ({ count: 1, orderedMs: 5, startMs: 6, endMs: 7, outcomes })

describe("the last batches that were executed", () => {
  it("are found by their positions, and the oldest give way", () => {
    const recent = new RecentExecutions()
    for (let seq = 1; seq <= EXECUTIONS_MAX + 3; seq++) recent.add(seq * 2, executed(Buffer.of(seq % 256)))
    expect([0, 1, 2, 6, 9].map((seq) => recent.find(seq))).toEqual(Array.from({ length: 5 }))
    for (const seq of [8, 2 * EXECUTIONS_MAX, 2 * (EXECUTIONS_MAX + 3)])
      expect(recent.find(seq)).toEqual({ ...executed(Buffer.of((seq / 2) % 256)), told: new Set() })
  })

  it("remember of which commands somebody has told, for as long as they are there", () => {
    const recent = new RecentExecutions()
    recent.add(1, executed(Buffer.of()))
    recent.find(1)?.told.add(3)
    expect(recent.find(1)?.told).toEqual(new Set([3]))
    for (let seq = 2; seq <= EXECUTIONS_MAX + 1; seq++) recent.add(seq, executed(Buffer.of()))
    recent.add(1, executed(Buffer.of()))
    expect(recent.find(1)?.told).toEqual(new Set())
  })

  it("keep no more bytes of outcomes than there is room for: the oldest have none", () => {
    const recent = new RecentExecutions()
    const quarter = Buffer.alloc(OUTCOME_BYTES_MAX / 4)
    for (let seq = 1; seq <= 6; seq++) recent.add(seq, executed(quarter))
    expect([1, 2, 3, 4, 5, 6].map((seq) => recent.find(seq)?.outcomes !== undefined)).toEqual([
      false,
      false,
      true,
      true,
      true,
      true,
    ])
    recent.add(7, executed(Buffer.alloc(OUTCOME_BYTES_MAX + 1)))
    recent.add(8, executed(quarter))
    expect([6, 7, 8].map((seq) => recent.find(seq)?.outcomes !== undefined)).toEqual([true, false, true])
  })

  it("are kept as they were, whatever the size of those that come after them, or not at all", () => {
    const sizes = fc.array(fc.integer({ min: 0, max: Math.floor(OUTCOME_BYTES_MAX / 3) }), {
      minLength: 1,
      maxLength: 40,
    })
    const law = fc.property(sizes, (lengths) => {
      const recent = new RecentExecutions()
      let kept = 0
      for (const [i, length] of lengths.entries()) recent.add(i + 1, executed(Buffer.alloc(length, i)))
      for (const [i, length] of lengths.entries()) {
        const { outcomes } = recent.find(i + 1) ?? {}
        if (outcomes === undefined) continue
        kept += length
        expect(outcomes.length === length && outcomes.every((byte) => byte === i)).toBe(true)
      }
      // a third is lost at most, where the next did not fit in what was left before the end
      const all = lengths.reduce((sum, length) => sum + length, 0)
      expect(kept).toBeGreaterThan(Math.min(all, OUTCOME_BYTES_MAX / 3) - 1)
    })
    fc.assert(law, { numRuns: 30 })
  })

  it("keep as many bytes when they have gone round", () => {
    const recent = new RecentExecutions()
    const part = Buffer.alloc(OUTCOME_BYTES_MAX / 1024)
    for (let seq = 1; seq <= 3 * EXECUTIONS_MAX; seq++) recent.add(seq, executed(part))
    const last = 3 * EXECUTIONS_MAX
    expect([last - 1024, last - 1023, last].map((seq) => recent.find(seq)?.outcomes !== undefined)).toEqual([
      false,
      true,
      true,
    ])
  })
})
