import { describe, expect, it } from "vitest"
import { REPLICATIONS } from "./actors.ts"
import { run } from "./run.ts"
import type { Strike } from "./strike.ts"

/** One of each kind, so that none is left to chance. */
const STRIKES: ReadonlyArray<Strike> = [
  { _tag: "handed over", to: 0 },
  { _tag: "stopped", forMs: 0 },
  { _tag: "killed", forMs: 500, aheadMs: 200 },
  { _tag: "paused", forMs: 1500, aheadMs: 0 },
]

describe.concurrent("a group whose primary is killed, paused, stopped and replaced", () => {
  it.each(REPLICATIONS)("keeps what it has promised, %s", async (replication) => {
    const report = await run({ replication, servers: 1, strikes: 2, seed: 7, first: STRIKES })
    const broken = report.checks.filter((check) => check.broken.length > 0)
    expect({ seed: report.seed, broken, evidence: report.evidence }).toMatchObject({ broken: [] })
    expect(Object.keys(report.strikes).toSorted()).toEqual([
      "handed over",
      "killed ahead",
      "paused",
      "stopped",
    ])
    expect(report.operations.acknowledged).toBeGreaterThan(50)
    // the first one, and one after each strike
    expect(report.reigns).toBeGreaterThanOrEqual(5)
  })
})
