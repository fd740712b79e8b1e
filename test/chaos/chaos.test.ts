import { describe, expect, it } from "vitest"
import type { Episode } from "./nemesis.ts"
import { canFillDisks } from "./replica-store.ts"
import { run } from "./run.ts"

/** A disk of each kind, so that none is left to chance. */
const DISKS: ReadonlyArray<Episode> = [
  [
    {
      target: { _tag: "Replica", index: 1 },
      harm: { _tag: "RolledBack", copy: "first" },
      durationMs: 3000,
    },
  ],
  ...(canFillDisks
    ? [[{ target: { _tag: "Replica", index: 2 }, harm: { _tag: "Full" }, durationMs: 3000 }] as const]
    : []),
  [
    {
      target: { _tag: "Server", index: 0 },
      harm: { _tag: "Corrupted", blocks: "log", damage: "flipped", seed: 1 },
      durationMs: 1000,
    },
  ],
]

describe("three servers and three replicas, in the production configuration", () => {
  it("answer every call rightly and once while one disk, server or replica after another is struck", async () => {
    const report = await run({
      minutes: 0.4,
      seed: 7,
      first: DISKS,
      onProgress: (line) => process.stderr.write(`${line}\n`),
    })
    const broken = report.checks.filter((check) => check.broken.length > 0)
    expect({ seed: report.seed, broken, evidence: report.evidence }).toMatchObject({ broken: [] })
    expect(report.operations.ok).toBeGreaterThan(200)
    expect(report.faults).toMatchObject({ "replica rolled back": {}, "server blocks damaged": {} })
    expect(report.events["checkpoint-failed"] ?? 0).toBeGreaterThan(canFillDisks ? 0 : -1)
  })
})
