import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { readFileSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { Worker } from "node:worker_threads"
import {
  drawScenario,
  type Run,
  runScenario,
  type Scenario,
  type ScenarioLimits,
  shrink,
  SIMULATED_MODES,
  Totals,
  writeHistory,
} from "@lockstep/testing"
import type { Done, Job } from "./worker.ts"

/**
 * npm run simulate -- --mode state-machine|primary-backup --seeds 10000 [--first N] [--json]
 * npm run simulate -- --mode state-machine|primary-backup --seed N [--history file] [--no-shrink]
 * npm run simulate -- --scenario file
 */
const { values: options } = parseArgs({
  options: {
    mode: { type: "string", default: "state-machine" },
    seeds: { type: "string", default: "1000" },
    first: { type: "string", default: "0" },
    seed: { type: "string" },
    scenario: { type: "string" },
    purpose: { type: "string" },
    workload: { type: "string" },
    history: { type: "string" },
    "no-shrink": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
})
const CHUNK = 25
const mode = SIMULATED_MODES.find((known) => known === options.mode)
if (mode === undefined)
  throw new Error(`there is no mode ${options.mode} to simulate; there are ${SIMULATED_MODES.join(", ")}`)
const limits: ScenarioLimits = {
  mode,
  ...(options.purpose !== undefined && {
    purpose: options.purpose as NonNullable<ScenarioLimits["purpose"]>,
  }),
  ...(options.workload !== undefined && { workload: options.workload }),
}

if (options.scenario !== undefined) replay(JSON.parse(readFileSync(options.scenario, "utf8")) as Scenario)
else if (options.seed !== undefined) replay(drawScenario(wholeNumber(options.seed), limits))
else await runMany(wholeNumber(options.first), wholeNumber(options.seeds))

/** One run, told in full; a failing one is shrunk. */
function replay(scenario: Scenario): void {
  const run = runScenario(scenario)
  if (options.history !== undefined) writeFileSync(options.history, writeHistory(run.operations()))
  print(run)
  if (run.failures.length === 0) return
  process.exitCode = 1
  if (options["no-shrink"]) return
  process.stderr.write("\nshrinking …\n")
  print(shrink(run))
}

function print(run: Run): void {
  const { answered, failed, indeterminate } = run.judgement
  const lines = [
    JSON.stringify(run.scenario, undefined, 2),
    `${(run.virtualMs / 1000).toFixed(1)} virtual seconds, ${run.entries} entries; calls: ${answered} answered, ${failed} failed, ${indeterminate} indeterminate; trace ${run.traceHash}`,
    ...run.failures.map(({ rule, detail }) => `BROKEN: ${rule}\n  ${detail}`),
    run.failures.length === 0 ? "every rule holds" : "",
  ]
  process.stdout.write(`${lines.join("\n")}\n`)
}

/** Many seeds on all cores. */
async function runMany(first: number, seeds: number): Promise<void> {
  const totals = new Totals()
  const failed: Array<Done["failed"][number]> = []
  const start = performance.now()
  let next = first
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL("worker.ts", import.meta.url))
    while (next < first + seeds) {
      const job: Job = { from: next, count: Math.min(CHUNK, first + seeds - next), limits }
      next += job.count
      const done = await doneBy(worker, job)
      totals.merge(done.totals)
      for (const failure of done.failed) {
        failed.push(failure)
        process.stderr.write(`\r${failureLine(failure)}\u001B[K\n`)
      }
      progress(totals.seeds, seeds)
    }
    await worker.terminate()
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
  if (process.stderr.isTTY) process.stderr.write("\r\u001B[K")
  report(totals, failed, (performance.now() - start) / 1000)
  process.exitCode = failed.length === 0 ? 0 : 1
}

/** Rejects where the worker ended: what it had too little memory for is one of these seeds. */
async function doneBy(worker: Worker, job: Job): Promise<Done> {
  try {
    worker.postMessage(job)
    const [done] = (await once(worker, "message")) as [Done] // what it posts
    return done
  } catch (cause) {
    throw new Error(`one of the seeds ${job.from} to ${job.from + job.count - 1} ended its worker`, { cause })
  }
}

function failureLine({ seed, rules }: Done["failed"][number]): string {
  return `seed ${seed} broke: ${rules.join("; ")}\n  replay: npm run simulate -- --mode ${options.mode} --seed ${seed}   (commit ${commit()})`
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim()
  } catch {
    return "unknown"
  }
}

function progress(done: number, seeds: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${seeds} seeds\u001B[K`)
  else if (done % 1000 < CHUNK) process.stderr.write(`${done} of ${seeds} seeds\n`)
}

function report(totals: Totals, failed: ReadonlyArray<Done["failed"][number]>, seconds: number): void {
  const calls = totals.answered + totals.failed + totals.indeterminate
  const share = (count: number): string => `${((100 * count) / Math.max(1, calls)).toFixed(1)} %`
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ totals, failedSeeds: failed, seconds }, undefined, 2)}\n`)
    return
  }
  const table = (counts: Readonly<Record<string, number>>): ReadonlyArray<string> =>
    Object.entries(counts)
      .toSorted(([, a], [, b]) => b - a)
      .map(([name, count]) => `    ${name.padEnd(28)}${count.toLocaleString("en-US").padStart(12)}`)
  const lines = [
    `  ${totals.seeds.toLocaleString("en-US")} seeds in ${seconds.toFixed(0)} s: ${(totals.virtualMs / 3_600_000).toFixed(1)} virtual hours, ${totals.entries.toLocaleString("en-US")} log entries; ${totals.repeated} seeds run twice, with equal traces`,
    `  calls: ${totals.answered.toLocaleString("en-US")} answered (${share(totals.answered)}), ${totals.failed.toLocaleString("en-US")} failed (${share(totals.failed)}), ${totals.indeterminate.toLocaleString("en-US")} indeterminate (${share(totals.indeterminate)})`,
    "",
    "  runs by purpose",
    ...table(totals.purposes),
    ...(Object.keys(totals.masters).length === 0 ? [] : ["  masters", ...table(totals.masters)]),
    "  faults",
    ...table(totals.faults),
    "  checked, by checker",
    ...table(totals.checked),
    `    histories that were given up for want of steps: ${totals.outOfSteps}`,
    "",
    failed.length === 0 ? "  every rule held" : `  ${failed.length} seeds broke a rule`,
  ]
  process.stdout.write(`${lines.join("\n")}\n`)
}

function wholeNumber(text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number >= 0) return number
  throw new Error(`${text} is not a whole number`)
}
