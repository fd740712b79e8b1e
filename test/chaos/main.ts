import { execFileSync } from "node:child_process"
import { parseArgs } from "node:util"
import type { Report } from "./run.ts"

/**
 * npm run chaos -- --minutes N [--seed S] [--replicas 3|5] [--lie value|state|error] [--json]
 *
 * Real faults on real processes, judged at the end. Exits with 0 only if every check holds.
 */
const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "2" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    replicas: { type: "string", default: "3" },
    lie: { type: "string" },
    json: { type: "boolean", default: false },
  },
})
const minutes = positive("minutes", options.minutes)
const seed = positive("seed", options.seed)
if (options.replicas !== "3" && options.replicas !== "5")
  throw new Error(`--replicas is 3 or 5, not ${options.replicas}`)
// before the actors are loaded: their mode depends on it
process.env["CHAOS_FAULTS_MAX"] = options.replicas === "3" ? "1" : "2"
const { LIES } = await import("./actors.ts")
const { run } = await import("./run.ts")
const lie = LIES.find((name) => name === options.lie)
if (options.lie !== undefined && lie === undefined)
  throw new Error(`--lie is one of ${LIES.join(", ")}, not ${options.lie}`)
// the first one ends the faults, and what happened is judged; the second one ends everything
const stop = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => (stop.signal.aborted ? process.exit(130) : stop.abort()))

const command = `npm run chaos -- --minutes ${minutes} --seed ${seed} --replicas ${options.replicas}${lie === undefined ? "" : ` --lie ${lie}`}`
process.stderr.write(`${command}   (commit ${commit()})\n`)
const report = await run({
  minutes,
  seed,
  lie,
  signal: stop.signal,
  onProgress: (line) => void process.stderr.write(`${line}\n`),
})
const output = options.json
  ? `${JSON.stringify({ ...report, command, commit: commit() }, undefined, 2)}\n`
  : table(report)
// left to itself, Node 24 was seen to spin for ever in its own clean-up after thirty minutes of processes coming and going
process.stdout.write(output, () => process.exit(report.passed ? 0 : 1))
function table({ faults, operations, checks, events, restarts, log, ...rest }: Report): string {
  const { ok, failed, indeterminate } = operations
  const lines = [
    "",
    `${rest.minutes} minutes of faults, ${rest.replicas} replicas, ${rest.lie === undefined ? "none lies" : `one lies (${rest.lie})`}`,
    "",
    "  fault                times  longest time without any answer",
    ...Object.entries(faults)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(
        ([kind, { times, longestGapMs }]) =>
          `  ${kind.padEnd(19)}  ${String(times).padStart(5)}  ${(longestGapMs / 1000).toFixed(1).padStart(6)} s`,
      ),
    ...rest.skipped.map((reason) => `  skipped: ${reason}`),
    "",
    `  correct replicas: ${counted(events)}`,
    `  started again as an operator does: ${counted(restarts)}`,
    `  log: begins at ${log.firstSeq} after ${log.truncations} truncations seen, holds ${log.entries} entries, at most ${log.entriesMax} (${log.bytesMax} bytes)`,
    `  operations: ${ok} answered, ${failed} refused (not executed), ${indeterminate} indeterminate`,
    "",
    ...checks.flatMap(({ rule, judged, broken }) => [
      `  ${broken.length === 0 ? "holds " : "BROKEN"}  ${rule} (${judged})`,
      ...broken.slice(0, 10).map((detail) => `            ${detail}`),
    ]),
    "",
    rest.evidence === undefined
      ? "  every check holds"
      : `  history and logs: ${rest.evidence}\n  again: ${command}   (commit ${commit()})`,
  ]
  return `${lines.join("\n")}\n`
}

function counted(counts: Readonly<Record<string, number>>): string {
  const all = Object.entries(counts).map(([name, times]) => `${name} ${times}`)
  return all.length === 0 ? "nothing" : all.join(", ")
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim()
  } catch {
    return "unknown"
  }
}

function positive(name: string, text: string): number {
  const number = Number(text)
  if (Number.isFinite(number) && number > 0) return number
  throw new Error(`--${name} is a number above zero, not ${text}`)
}
