import { setTimeout as sleep } from "node:timers/promises"
import { Random } from "@lockstep/testing"
import { keepEvidence } from "../evidence.ts"
import {
  type Check,
  everyoneIsServed,
  exactlyOnce,
  explained,
  type History,
  lastLists,
  linearizable,
} from "../verdict.ts"
import { within } from "../waiting.ts"
import { Workload } from "../workload.ts"
import { actorsOf, type Replication } from "./actors.ts"
import { Annals } from "./annals.ts"
import { judgeLosses, type Losses } from "./losses.ts"
import { Site } from "./site.ts"
import { describe, drawStrike, inflict, isViolent, kindOf, type Strike } from "./strike.ts"

export interface RunOptions {
  readonly replication: Replication
  /** Kills and pauses of the primary. What happens to it in peace comes on top. */
  readonly strikes: number
  readonly seed: number
  readonly servers: 1 | 3
  /** What comes first, before anything is drawn. */
  readonly first?: ReadonlyArray<Strike>
  /** Ends the strikes early; what happened until then is judged. */
  readonly signal?: AbortSignal
  /** Told what happens, a line each. */
  readonly onProgress?: (line: string) => void
}

/** What a run did and what it found. */
export interface Report {
  readonly replication: Replication
  readonly seed: number
  readonly servers: number
  readonly seconds: number
  readonly strikes: Readonly<Record<string, StrikeFigures>>
  /** Primaries that the log named. */
  readonly reigns: number
  readonly operations: Operations
  /** What each failover reported to be lost at most, and what was, where it reported anything. */
  readonly windows: Losses["windows"]
  /** What happened to replicas' stores, and how often. */
  readonly events: Readonly<Record<string, number>>
  readonly checks: ReadonlyArray<Check>
  readonly passed: boolean
  /** Where the history and the logs are, if a check failed. */
  readonly evidence: string | undefined
}

export interface Operations {
  readonly reads: number
  /** Writes that were acknowledged, and how many of them are not there. */
  readonly acknowledged: number
  readonly lost: number
  /** How often a call ended undecided, and how often it was asked for again; calls that stayed undecided. */
  readonly undecided: number
  readonly retried: number
  readonly unknown: number
  /** Calls of which the caller was told that they were not executed, by error. */
  readonly refused: number
}

/** The longest times in which no write was answered, of each strike until the group was as good as before. */
export interface StrikeFigures {
  readonly times: number
  readonly medianMs: number
  readonly p99Ms: number
  readonly maxMs: number
}

/** One caller each. Some are so short that calls end undecided in most failovers. */
const DEADLINES_MS = [1000, 1000, 5000, 5000, 20_000, 20_000]
/** Calls of each caller after the last strike, and how long it may take. */
const TAIL = { calls: 20, msMax: 60_000 }
const CALM_MS_MAX = 500
const ANSWER = { timeMsMax: 30_000, everyMs: 5 }

/** One run: the primary is struck, again and again, while callers call; then all that the setting promises is checked. */
export async function run(options: RunOptions): Promise<Report> {
  const { replication, seed, servers, onProgress = () => undefined } = options
  const random = new Random(seed)
  await using site = await Site.start({
    replication,
    servers,
    deadlinesMs: DEADLINES_MS,
    random: random.fork("network"),
  })
  const workload = new Workload(site.clients, random.fork("workload"), workloadOf(replication))
  await workload.progress(5, TAIL.msMax)
  const nemesis = random.fork("nemesis")
  const first = [...(options.first ?? [])]
  const gaps = new Map<string, Array<number>>()
  const broken: Array<string> = []
  const startMs = performance.now()
  let violent = 0
  while (violent < options.strikes && !options.signal?.aborted && broken.length === 0) {
    const strike = first.shift() ?? drawStrike(nemesis)
    if (isViolent(strike)) violent++
    let text = kindOf(strike)
    try {
      const primary = await site.inSync()
      text = describe(strike, primary.process.replica)
      const from = { atMs: performance.now(), operations: workload.operations.length }
      await inflict(site, primary, strike)
      await site.inSync()
      const since = workload.operations.length
      await within("writes are answered again", async () => writesSince(workload, since)[0], ANSWER)
      const gapMs = longestGapMs(writesSince(workload, from.operations), from.atMs)
      gaps.set(kindOf(strike), [...(gaps.get(kindOf(strike)) ?? []), gapMs])
      const lastedMs = performance.now() - from.atMs
      onProgress(
        `${clock(from.atMs - startMs)}  ${violent}: ${text}; longest gap ${gapMs.toFixed(0)} ms, ${seconds(lastedMs)} in all`,
      )
    } catch (cause) {
      broken.push(`strike ${violent}: ${text}: ${String(cause)}`)
    }
    await sleep(nemesis.integer(0, CALM_MS_MAX))
  }
  const lastedMs = performance.now() - startMs
  onProgress(`${clock(lastedMs)}  the last strike is over; every caller must be served now`)
  const tail = everyoneIsServed(await workload.progress(TAIL.calls, TAIL.msMax), TAIL.calls)
  await workload.stop()
  await workload.readAll().catch((cause: unknown) => broken.push(`the last reading: ${String(cause)}`))
  onProgress(`${clock(performance.now() - startMs)}  checking ${workload.operations.length} operations`)
  const annals = new Annals(new Map(site.replicas.map(({ replica, log }) => [replica, log])))
  const losses = lossesOf(workload.operations, annals)
  const rule = "the group recovers from every strike"
  const checks: ReadonlyArray<Check> = [
    { rule, judged: `${[...gaps.values()].flat().length} strikes`, broken },
    ...verdict(replication, workload, losses),
    annals.onePrimaryEach(),
    tail,
    explained(workload.unexplained, workload.retried),
  ]
  const passed = checks.every((check) => check.broken.length === 0)
  return {
    replication,
    seed,
    servers,
    seconds: Math.round(lastedMs / 1000),
    strikes: Object.fromEntries([...gaps].map(([kind, of]) => [kind, figuresOf(of)])),
    reigns: annals.reigns.length,
    operations: operationsOf(workload, losses),
    windows: losses.windows,
    events: eventsOf(site),
    checks,
    passed,
    evidence: passed ? undefined : await keepEvidence(workload.operations, site.replicas),
  }
}

/** What each setting promises of writes that were acknowledged. */
function verdict(
  replication: Replication,
  { operations, refused }: Workload,
  { lost, checks }: Losses,
): ReadonlyArray<Check> {
  if (replication === "asynchronous") return [...checks, exactlyOnce(operations, refused, lost)]
  return [linearizable(operations), exactlyOnce(operations, refused)]
}

function workloadOf(replication: Replication) {
  const isSafe = replication !== "asynchronous"
  return {
    actors: actorsOf(replication),
    // so that each command is a batch, and has a position of its own
    callersPerClient: 1,
    pauseMsMean: 10,
    // what was lost of a register that was written again cannot be seen
    listShare: isSafe ? 0.5 : 1,
    retryChance: 0.8,
    // a primary that was just elected has not heard enough backups yet; a session may be lost like any write
    plausible: new Set(["Overloaded", "NotEnoughReplicas", ...(isSafe ? [] : ["SessionExpired"])]),
  }
}

function lossesOf(history: History, annals: Annals): Losses {
  const acknowledged = history.filter(({ input, output }) => input[0] === "append" && output !== undefined)
  const surviving = new Set([...lastLists(history).values()].flat())
  const items = acknowledged.map(({ input }) => Number(input[1]))
  return judgeLosses(items, surviving, annals)
}

function operationsOf(workload: Workload, { lost }: Losses): Operations {
  const { undecided, retried, indeterminate, refused } = workload
  const acknowledged = writesSince(workload, 0).length
  const reads = workload.answeredAtMs.length - acknowledged
  const unknown = indeterminate
  return { reads, acknowledged, lost: lost.size, undecided, retried, unknown, refused: refused.length }
}

/** When writes were answered, of the operations from this one on. */
function writesSince({ operations }: Workload, from: number): ReadonlyArray<number> {
  return operations
    .slice(from)
    .flatMap(({ input, return: at }) => (input[0] === "read" || at === undefined ? [] : [at]))
}

function longestGapMs(answers: ReadonlyArray<number>, fromMs: number): number {
  return Math.max(...answers.map((at, i) => at - (answers[i - 1] ?? fromMs)))
}

function figuresOf(gapsMs: ReadonlyArray<number>): StrikeFigures {
  const sorted = gapsMs.toSorted((a, b) => a - b)
  const at = (share: number): number => Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0)
  return { times: sorted.length, medianMs: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}

/** How often replicas told an operator something of their stores. */
function eventsOf({ replicas }: Site): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { log } of replicas)
    for (const { event } of log) if (TOLD.has(event)) counts[event] = (counts[event] ?? 0) + 1
  return counts
}

const TOLD: ReadonlySet<string> = new Set([
  "restored",
  "installed",
  "journal-cut",
  "journal-failed",
  "checkpoint-damaged",
  "checkpoint-failed",
  "truncation-failed",
  "rejoining",
  "halted",
  "failed",
])

function clock(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(6)} s`
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
