import { execFileSync } from "node:child_process"
import { parseArgs } from "node:util"
import { counted, verdictOf } from "./primary-backup/table.ts"
import type { Report } from "./run.ts"

/**
 * npm run chaos -- --minutes N [--seed S] [--replicas 3|5] [--lie value|state|error] [--json]
 * npm run chaos -- --mode primary-backup --replication synchronous|semi-synchronous|asynchronous --strikes N [--seed S] [--servers 1|3] [--json]
 *
 * Real faults on real processes, judged at the end. Exits with 0 only if every check holds.
 */
const { values: options } = parseArgs({
  options: {
    mode: { type: "string", default: "state-machine" },
    replication: { type: "string" },
    strikes: { type: "string" },
    servers: { type: "string" },
    minutes: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    replicas: { type: "string" },
    lie: { type: "string" },
    json: { type: "boolean", default: false },
  },
})
const seed = positive("seed", options.seed)
// the first one ends the faults, and what happened is judged; the second one ends everything
const stop = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => (stop.signal.aborted ? process.exit(130) : stop.abort()))
const watch = {
  seed,
  signal: stop.signal,
  onProgress: (line: string): void => void process.stderr.write(`${line}\n`),
}
if (options.mode === "primary-backup") await strikePrimaries()
else if (options.mode === "state-machine") await strikeEverything()
else throw new Error(`--mode is state-machine or primary-backup, not ${options.mode}`)

/** Anything at all is struck, while replicas mask it. */
async function strikeEverything(): Promise<never> {
  refuse("replication", "strikes", "servers")
  const { minutes: given = "2", replicas = "3" } = options
  const minutes = positive("minutes", given)
  if (replicas !== "3" && replicas !== "5") throw new Error(`--replicas is 3 or 5, not ${replicas}`)
  // before the actors are loaded: their mode depends on it
  process.env["CHAOS_FAULTS_MAX"] = replicas === "3" ? "1" : "2"
  const { LIES } = await import("./actors.ts")
  const { run } = await import("./run.ts")
  const lie = LIES.find((name) => name === options.lie)
  if (options.lie !== undefined && lie === undefined)
    throw new Error(`--lie is one of ${LIES.join(", ")}, not ${options.lie}`)
  const command = announce(
    `--minutes ${minutes} --seed ${seed} --replicas ${replicas}${lie === undefined ? "" : ` --lie ${lie}`}`,
  )
  return end(await run({ ...watch, minutes, lie }), table, command)
}

/** The primary is struck, again and again. */
async function strikePrimaries(): Promise<never> {
  refuse("minutes", "replicas", "lie")
  const { strikes: given = "200", replication: wanted = "synchronous", servers: copies = "1" } = options
  const strikes = positive("strikes", given)
  const { REPLICATIONS } = await import("./primary-backup/actors.ts")
  const { run } = await import("./primary-backup/run.ts")
  const primaryTable = await import("./primary-backup/table.ts")
  const replication = REPLICATIONS.find((name) => name === wanted)
  if (replication === undefined)
    throw new Error(`--replication is one of ${REPLICATIONS.join(", ")}, not ${wanted}`)
  const servers = copies === "1" ? 1 : 3
  if (copies !== String(servers)) throw new Error(`--servers is 1 or 3, not ${copies}`)
  const command = announce(
    `--mode primary-backup --replication ${replication} --strikes ${strikes} --seed ${seed} --servers ${servers}`,
  )
  return end(await run({ ...watch, replication, strikes, servers }), primaryTable.table, command)
}

/** Options of the other mode: what is not looked at must not seem to have been. */
function refuse(...others: ReadonlyArray<Exclude<keyof typeof options, "json" | "mode">>): void {
  const given = others.find((name) => options[name] !== undefined)
  if (given !== undefined) throw new Error(`--${given} is no option of --mode ${options.mode}`)
}

function announce(arguments_: string): string {
  const command = `npm run chaos -- ${arguments_}`
  process.stderr.write(`${command}   (commit ${commit()})\n`)
  return command
}

/** Left to itself, Node 24 was seen to spin for ever in its own clean-up after thirty minutes of processes coming and going. */
function end<R extends { readonly passed: boolean; readonly evidence: string | undefined }>(
  report: R,
  asText: (report: R) => string,
  command: string,
): Promise<never> {
  const last =
    report.evidence === undefined
      ? "  every check holds"
      : `  history and logs: ${report.evidence}\n  again: ${command}   (commit ${commit()})`
  const output = options.json
    ? `${JSON.stringify({ ...report, command, commit: commit() }, undefined, 2)}\n`
    : `${asText(report)}\n${last}\n`
  return new Promise(() => process.stdout.write(output, () => process.exit(report.passed ? 0 : 1)))
}

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
    ...checks.flatMap(verdictOf),
  ]
  return `${lines.join("\n")}\n`
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
