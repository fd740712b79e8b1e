import { describe, expect, it } from "vitest"
import { run } from "./run.ts"

describe("three servers and three replicas, in the production configuration", () => {
  it("answer every call rightly and once while one server or one replica after another is struck", async () => {
    const report = await run({
      minutes: 0.5,
      seed: 7,
      onProgress: (line) => process.stderr.write(`${line}\n`),
    })
    const broken = report.checks.filter((check) => check.broken.length > 0)
    expect({ seed: report.seed, broken, evidence: report.evidence }).toMatchObject({ broken: [] })
    expect(report.operations.ok).toBeGreaterThan(200)
    expect(Object.keys(report.faults).length).toBeGreaterThan(2)
  })
})
