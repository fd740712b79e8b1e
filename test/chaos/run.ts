import { copyFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Random } from "@lockstep/testing"
import { faultsMax, type Lie, List, Register } from "./actors.ts"
import { keepEvidence } from "./evidence.ts"
import { describe, drawEpisode, type Episode, kindOf } from "./nemesis.ts"
import { canFillDisks } from "./replica-store.ts"
import { Site } from "./site.ts"
import { strike } from "./strike.ts"
import {
  type Check,
  equalReplicas,
  everyoneIsServed,
  exactlyOnce,
  everyClientIsServed,
  explained,
  floor,
  linearizable,
  onlyTheLiarDissents,
  stoppedForAReason,
  truncated,
} from "./verdict.ts"
import { Workload } from "./workload.ts"

export interface RunOptions {
  readonly minutes: number
  readonly seed: number
  readonly lie?: Lie | undefined
  /** What comes first, before anything is drawn. */
  readonly first?: ReadonlyArray<Episode>
  /** Ends the faults early; what happened until then is judged. */
  readonly signal?: AbortSignal
  /** Told what happens, a line each. */
  readonly onProgress?: (line: string) => void
}

/** What a run did and what it found. */
export interface Report {
  readonly seed: number
  readonly replicas: number
  readonly lie: Lie | undefined
  /** How long faults came, one after another. */
  readonly minutes: number
  readonly faults: Readonly<Record<string, FaultFigures>>
  /** What happened to replicas' stores, and how often. */
  readonly events: Readonly<Record<string, number>>
  /** How often a replica was started again as an operator does it, by what had stopped it. */
  readonly restarts: Readonly<Record<string, number>>
  readonly log: {
    readonly entries: number
    readonly entriesMax: number
    readonly bytesMax: number
    readonly firstSeq: number
    readonly truncations: number
  }
  /** What could not be done here, and why. */
  readonly skipped: ReadonlyArray<string>
  readonly operations: { readonly ok: number; readonly failed: number; readonly indeterminate: number }
  readonly checks: ReadonlyArray<Check>
  readonly passed: boolean
  /** Where the history and the logs are, if a check failed. */
  readonly evidence: string | undefined
}

export interface FaultFigures {
  readonly times: number
  /** The longest time in which nobody at all was answered, from the fault until all had recovered, where it came alone. */
  readonly longestGapMs: number
}

/** The clients' deadlines: one is so short that calls end undecided in most faults, and are retried. */
const DEADLINES_MS = [1000, 5000, 20_000]
/** How the group that masks faults is called. */
export const WORKLOAD = {
  actors: { List, Register },
  callersPerClient: 4,
  pauseMsMean: 30,
  listShare: 0.5,
  retryChance: 1,
  plausible: new Set(["Overloaded"]),
}
const CALM_MS = { min: 300, max: 2500 }
/** How often a store is copied between two episodes, for a time when it is put back. */
const COPY_CHANCE = 0.5
/** Calls of each caller after the last fault, and how long it may take. */
const TAIL = { calls: 20, msMax: 60_000 }

/** One run: faults, one after another, while callers call; then all that must hold is checked. */
export async function run(options: RunOptions): Promise<Report> {
  const { minutes, seed, lie, onProgress = () => undefined } = options
  const random = new Random(seed)
  await using site = await Site.start({ lie, deadlinesMs: DEADLINES_MS, random: random.fork("network") })
  const workload = new Workload(site.clients, random.fork("workload"), WORKLOAD)
  await workload.progress(5, TAIL.msMax)
  const startMs = performance.now()
  const endMs = startMs + minutes * 60_000
  const faults = new Map<string, FaultFigures>()
  const count = (kind: string, gapMs: number): void => {
    const { times, longestGapMs } = faults.get(kind) ?? { times: 0, longestGapMs: 0 }
    faults.set(kind, { times: times + 1, longestGapMs: Math.max(longestGapMs, gapMs) })
  }
  const nemesis = random.fork("nemesis")
  const copying = random.fork("copying")
  const first = [...(options.first ?? [])]
  const broken: Array<string> = []
  const during = new Map<string, number>()
  let episodes = 0
  const isOver = (): boolean => performance.now() > endMs && first.length === 0
  while (!isOver() && !options.signal?.aborted && broken.length === 0) {
    await sleep(nemesis.integer(CALM_MS.min, CALM_MS.max))
    if (first.length > 0 || copying.chance(COPY_CHANCE))
      await site.keepCopy(copying.pick(site.correct), copying.pick(["whole", "torn"] as const))
    const episode = first.shift() ?? drawEpisode(nemesis, site)
    const before = {
      atMs: performance.now(),
      answers: workload.answeredAtMs.length,
      byClient: workload.byClient,
    }
    const text = episode.map(describe).join(" + ")
    onProgress(`${clock(before.atMs - startMs)}  ${text}`)
    await strike(site, episode).catch((cause: unknown) => broken.push(`after ${text}: ${String(cause)}`))
    const nowMs = performance.now()
    const answers = workload.answeredAtMs.length - before.answers
    const longestGapMs = workload.longestGapMs(before.atMs, nowMs)
    const lasted = `${seconds(nowMs - before.atMs)} until all had recovered`
    onProgress(`          ${lasted}, ${answers} calls answered, longest gap ${seconds(longestGapMs)}`)
    episodes++
    for (const [client, answered] of workload.byClient)
      during.set(client, (during.get(client) ?? 0) + answered - (before.byClient.get(client) ?? 0))
    // a gap says something of a kind of fault only where nothing else happened at the time
    if (episode.length > 1) count("two or more at once", longestGapMs)
    for (const fault of episode) count(kindOf(fault), episode.length > 1 ? 0 : longestGapMs)
  }
  onProgress(`${clock(performance.now() - startMs)}  the last fault is over; every caller must be served now`)
  const tail = everyoneIsServed(await workload.progress(TAIL.calls, TAIL.msMax), TAIL.calls)
  await workload.stop()
  await workload.readAll().catch((cause: unknown) => broken.push(`the last reading: ${String(cause)}`))
  await site.logWatch.look().catch(() => undefined)
  onProgress(`${clock(performance.now() - startMs)}  checking ${workload.operations.length} operations`)
  const { operations, refused, unexplained, retried, indeterminate } = workload
  const checks: ReadonlyArray<Check> = [
    { rule: "everything recovers from every fault", judged: `${episodes} episodes`, broken },
    linearizable(operations),
    exactlyOnce(operations, refused),
    await equalReplicas(site),
    onlyTheLiarDissents(site),
    tail,
    floor({ during: sum(during.values()), episodes }),
    everyClientIsServed(during, episodes),
    truncated(site),
    stoppedForAReason(site),
    explained(unexplained, retried),
  ]
  const passed = checks.every((check) => check.broken.length === 0)
  const { entries, entriesMax, bytesMax, firstSeq, truncations } = site.logWatch
  return {
    seed,
    replicas: 2 * faultsMax + 1,
    lie,
    minutes,
    faults: Object.fromEntries(faults),
    events: site.events,
    restarts: Object.fromEntries(site.restarts),
    log: { entries, entriesMax, bytesMax, firstSeq, truncations },
    skipped: canFillDisks ? [] : ["replica disk full: there is no prlimit here (util-linux)"],
    checks,
    passed,
    operations: { ok: workload.answeredAtMs.length, failed: refused.length, indeterminate },
    evidence: passed ? undefined : await evidence(site, workload),
  }
}

/** Keeps what is needed to find out why. */
async function evidence(site: Site, { operations }: Workload): Promise<string> {
  const directory = await keepEvidence(operations, site.replicas)
  for (const [i, { logFile }] of site.servers.entries())
    await copyFile(logFile, join(directory, `n${i}.log`)).catch(() => undefined)
  return directory
}

function sum(numbers: Iterable<number>): number {
  return [...numbers].reduce((total, number) => total + number, 0)
}

function clock(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(6)} s`
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
