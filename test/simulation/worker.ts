import { parentPort } from "node:worker_threads"
import { runSeed, type ScenarioLimits, Totals } from "@lockstep/testing"

/** Seeds to run, in one message. */
export interface Job {
  readonly from: number
  readonly count: number
  readonly limits: ScenarioLimits
}

export interface Done {
  readonly totals: Totals
  /** Seeds that broke a rule, and the rules. */
  readonly failed: ReadonlyArray<{ readonly seed: number; readonly rules: ReadonlyArray<string> }>
}

/** One seed in a hundred is run twice: equal traces show that the simulator is deterministic. */
const REPEAT_EVERY = 100

/** Runs the seeds of a job. */
export function runJob({ from, count, limits }: Job): Done {
  const totals = new Totals()
  const failed: Array<Done["failed"][number]> = []
  for (let seed = from; seed < from + count; seed++) {
    const run = runSeed(seed, limits)
    totals.add(run)
    const rules = [...new Set(run.failures.map(({ rule }) => rule))]
    if (seed % REPEAT_EVERY === 0) {
      totals.repeated++
      if (runSeed(seed, limits).traceHash !== run.traceHash) rules.push("the simulator is deterministic")
    }
    if (rules.length > 0) failed.push({ seed, rules })
  }
  return { totals, failed }
}

parentPort?.on("message", (job: Job) => parentPort?.postMessage(runJob(job)))
