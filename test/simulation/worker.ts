import { parentPort } from "node:worker_threads"
import { type Failure, type Run, runSeed, type ScenarioLimits, Totals } from "@lockstep/testing"

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
    const run = attempt(seed, limits)
    if ("rule" in run) {
      failed.push({ seed, rules: [`${run.rule}: ${run.detail}`] })
      continue
    }
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

/** A run that has ended; or what is broken where it ends in an error, which is a failure like others. */
export function attempt(seed: number, limits: ScenarioLimits): Run | Failure {
  try {
    return runSeed(seed, limits)
  } catch (cause) {
    return { rule: "the simulation itself goes on", detail: String(cause) }
  }
}

parentPort?.on("message", (job: Job) => parentPort?.postMessage(runJob(job)))
