import { beforeAll, describe, expect, it } from "vitest"
import { MUTANTS } from "./mutants.ts"
import { type Done, runJob } from "./worker.ts"

/** A slice of what `npm run simulate` runs: always the same seeds, so that a failure here is a change of the code. */
const SLICE = { from: 0, count: 1000, limits: {} }

describe("the state machine mode in a thousand broken worlds", () => {
  it("breaks no rule, and does the same when a world is run again", () => {
    const { failed, totals } = runJob(SLICE)
    expect(
      failed.map(({ seed, rules }) => `npm run simulate -- --seed ${seed}   # broke: ${rules.join("; ")}`),
    ).toEqual([])
    expect(totals.repeated).toBe(10)
    expect(totals.outOfSteps).toBe(0)
    expect(totals.answered).toBeGreaterThan(100_000)
  })

  it("meets every kind of fault, every kind of lie and every way in which a log breaks", () => {
    const { totals } = runJob({ ...SLICE, count: 300 })
    const kinds = Object.keys(totals.faults)
    expect(kinds.filter((kind) => kind.startsWith("liar: "))).toHaveLength(14)
    expect(kinds.filter((kind) => kind.startsWith("log: "))).toHaveLength(5)
    expect(kinds.filter((kind) => kind.startsWith("message "))).toHaveLength(3)
    expect(kinds.filter((kind) => !kind.includes(" "))).toHaveLength(20)
    expect(kinds.filter((kind) => kind.startsWith("membership: "))).toHaveLength(3)
    expect(totals.faults["membership changed"]).toBeGreaterThan(50)
    expect(totals.faults["upgrade: stated"]).toBeGreaterThan(10)
    expect(Object.keys(totals.purposes).toSorted((a, b) => a.localeCompare(b))).toEqual([
      "broken-log",
      "exceed",
      "survive",
    ])
  })
})

/** The same of the mode with a single master. */
const MASTERED = { from: 0, count: 500, limits: { mode: "primary-backup" } } as const

describe("the primary-backup mode in five hundred broken worlds", () => {
  let done: Done
  beforeAll(() => {
    done = runJob(MASTERED)
  }, 300_000)

  it("breaks no rule, and does the same when a world is run again", () => {
    const { failed, totals } = done
    expect(
      failed.map(
        ({ seed, rules }) =>
          `npm run simulate -- --mode primary-backup --seed ${seed}   # broke: ${rules.join("; ")}`,
      ),
    ).toEqual([])
    expect(totals.repeated).toBe(5)
    expect(totals.outOfSteps).toBe(0)
    expect(totals.answered).toBeGreaterThan(40_000)
  })

  it("meets every kind of fault, and every way in which a log breaks", () => {
    const { totals } = done
    const kinds = Object.keys(totals.faults)
    expect(kinds.filter((kind) => kind.startsWith("log: "))).toHaveLength(5)
    expect(kinds.filter((kind) => kind.startsWith("message "))).toHaveLength(3)
    expect(kinds.filter((kind) => !kind.includes(" "))).toHaveLength(24)
    expect(kinds.filter((kind) => kind.startsWith("membership: "))).toHaveLength(3)
    expect(totals.faults["membership changed"]).toBeGreaterThan(50)
    expect(Object.keys(totals.purposes).toSorted((a, b) => a.localeCompare(b))).toEqual([
      "broken-log",
      "exceed",
      "survive",
    ])
  })

  it("sees masters fail, hand over, answer with fewer replicas, and lose what they said they may", () => {
    const { totals } = done
    expect(totals.masters["failovers"]).toBeGreaterThan(300)
    expect(totals.masters["handovers"]).toBeGreaterThan(20)
    expect(totals.masters["degraded commands"]).toBeGreaterThan(100)
    expect(totals.masters["answers lost within windows"]).toBeGreaterThan(0)
    expect(totals.masters["checkpoints fetched"]).toBeGreaterThan(50)
    expect(totals.masters["records let go"]).toBeGreaterThan(10)
    expect(totals.checked["freshness"]).toBeGreaterThan(1000)
  })
})

describe("the list of mutants", () => {
  it("is at least twenty long, and no two have one name", () => {
    expect(MUTANTS.length).toBeGreaterThanOrEqual(20)
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length)
  })
})
