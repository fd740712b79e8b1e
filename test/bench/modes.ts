import type { ActorClient, Reads } from "lockstep"
import { startServer } from "lockstep/develop"
import { callAll, latencies } from "./callers.ts"
import { type Counter, counterOf, MODE, type ModeName, MODES } from "./counter.ts"
import { type Gap, gapOf } from "./gap.ts"
import { BenchGroup } from "./group.ts"
import { median, percentile, spread } from "./measure.ts"
import type { Scale } from "./scale.ts"
import { count, milliseconds, plusMinus, ratio, type Row, type Table } from "./table.ts"

const IN_FLIGHT = 4096
const KEYS = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
const CHECKPOINT_EVERY_BATCHES = 1000
const LOG_BYTES_MAX = 1024 ** 3
const MAX_STALENESS_MS = 1000

/** The same counter in each mode, on one server, in rounds that take turns; and what callers notice when a replica is killed. */
export async function measureModes(scale: Scale): Promise<Table> {
  const rounds = scale === "quick" ? 2 : 7
  const strikes = scale === "quick" ? 1 : 5
  const work = {
    sequentialCalls: scale === "quick" ? 200 : 1000,
    commands: scale === "quick" ? 100_000 : 400_000,
  }
  await using server = await startServer()
  await using stack = new AsyncDisposableStack()
  const subjects: Array<Subject> = []
  for (const name of MODE_NAMES) {
    const group = await BenchGroup.start({
      server,
      group: name.replaceAll(" ", "-"),
      module: "counter.ts",
      env: { [MODE]: name },
      checkpointEveryBatches: CHECKPOINT_EVERY_BATCHES,
      logBytesMax: LOG_BYTES_MAX,
    })
    stack.use(group)
    subjects.push(new Subject(name, group))
  }
  // the first round warms up, and counts for nothing
  for (let round = 0; round <= rounds; round++)
    for (const subject of subjects) {
      await subject.measure(work, round === 0 ? noFigures() : subject.figures)
      process.stderr.write(".")
    }
  for (let strike = 0; strike < strikes; strike++)
    for (const subject of subjects) {
      await subject.strike()
      process.stderr.write(".")
    }
  process.stderr.write("\n")
  const rows = subjects.map((subject) => subject.row())
  return {
    title: "One counter in each mode",
    settings: {
      replicas: "three processes for each mode, with a folder each; one nats-server for all",
      rounds,
      calls: `${count(work.sequentialCalls)} writes, reads and stale reads, one at a time, then ${count(work.commands)} writes with ${count(IN_FLIGHT)} open, over ${count(KEYS.length)} keys`,
      "stale reads": `may miss the last ${count(MAX_STALENESS_MS)} ms`,
      gaps: `medians of ${strikes}, with the default timing: a lease of 1 s, and 500 ms before a backup is out`,
    },
    columns: COLUMNS,
    rows,
    notes: [
      "Medians of rounds (spread). A gap is the longest time without an answered write, with four callers.",
      ...rows.flatMap((row) => comparisonOf(row, rows[0])),
      ...subjects.flatMap((subject) => subject.failures()),
    ],
  }
}

const MODE_NAMES = Object.keys(MODES) as ReadonlyArray<ModeName> // Object.keys forgets their type

const COLUMNS: Table["columns"] = [
  { title: "write p50", figure: "writeP50Ms", format: milliseconds },
  { title: "", figure: "writeP50Spread", format: plusMinus },
  { title: "p99", figure: "writeP99Ms", format: milliseconds },
  { title: "read p50", figure: "readP50Ms", format: milliseconds },
  { title: "p99", figure: "readP99Ms", format: milliseconds },
  { title: "stale p50", figure: "staleP50Ms", format: milliseconds },
  { title: "p99", figure: "staleP99Ms", format: milliseconds },
  { title: "writes/s", figure: "perSecond", format: count },
  { title: "", figure: "perSecondSpread", format: plusMinus },
  { title: "gap: primary killed", figure: "primaryGapMs", format: milliseconds },
  { title: "other killed", figure: "otherGapMs", format: milliseconds },
  { title: "handed over", figure: "handOverGapMs", format: milliseconds },
]

interface Work {
  readonly sequentialCalls: number
  readonly commands: number
}

type Figures = Record<keyof ReturnType<typeof noFigures>, Array<number>>

/** One of each round. */
function noFigures() {
  const none = (): Array<number> => []
  return {
    writeP50Ms: none(),
    writeP99Ms: none(),
    readP50Ms: none(),
    readP99Ms: none(),
    staleP50Ms: none(),
    staleP99Ms: none(),
    perSecond: none(),
  }
}

/** A group that counts in one mode. */
class Subject {
  readonly figures: Figures = noFigures()
  readonly #name: ModeName
  readonly #group: BenchGroup
  readonly #gaps: Record<"primary" | "other" | "handOver", Array<Gap>> = {
    primary: [],
    other: [],
    handOver: [],
  }

  constructor(name: ModeName, group: BenchGroup) {
    this.#name = name
    this.#group = group
  }

  /** Where all execute, none of them is a primary, and every read has a place in the log. */
  get #hasPrimary(): boolean {
    return MODES[this.#name].execution === "once"
  }

  async measure(work: Work, figures: Figures): Promise<void> {
    const fresh = await this.#counters()
    const stale = this.#hasPrimary ? await this.#counters({ maxStalenessMs: MAX_STALENESS_MS }) : undefined
    const write = async (i: number): Promise<unknown> => fresh[i % fresh.length]?.add(1)
    const [writeP50Ms, writeP99Ms] = await percentiles(work.sequentialCalls, write)
    figures.writeP50Ms.push(writeP50Ms)
    figures.writeP99Ms.push(writeP99Ms)
    const [readP50Ms, readP99Ms] = await percentiles(work.sequentialCalls, async (i) =>
      fresh[i % fresh.length]?.read(),
    )
    figures.readP50Ms.push(readP50Ms)
    figures.readP99Ms.push(readP99Ms)
    if (stale !== undefined) {
      const [staleP50Ms, staleP99Ms] = await percentiles(work.sequentialCalls, async (i) =>
        stale[i % stale.length]?.read(),
      )
      figures.staleP50Ms.push(staleP50Ms)
      figures.staleP99Ms.push(staleP99Ms)
    }
    const tookMs = await callAll({ calls: work.commands, open: IN_FLIGHT }, write)
    figures.perSecond.push(work.commands / (tookMs / 1000))
  }

  /** Kills the primary, kills another one, and has the primary hand over; what was killed is started again. */
  async strike(): Promise<void> {
    const group = this.#group
    if (!this.#hasPrimary) return void this.#gaps.other.push(await this.#killed(group.names[0]))
    this.#gaps.primary.push(await this.#killed(await group.primary()))
    const primary = await group.primary()
    this.#gaps.other.push(await this.#killed(group.names.find((name) => name !== primary)))
    const before = await group.primary()
    const next = group.names.find((name) => name !== before) ?? before
    this.#gaps.handOver.push(await this.#gap(() => group.handOver(next)))
  }

  row(): Row {
    const gap = (of: ReadonlyArray<Gap>): number | undefined =>
      of.length === 0 ? undefined : median(of.map(({ longestMs }) => longestMs))
    const middles = Object.entries(this.figures).flatMap(([figure, values]) =>
      values.length === 0 ? [] : [[figure, median(values)] as const],
    )
    return {
      name: this.#name,
      figures: {
        ...Object.fromEntries(middles),
        writeP50Spread: spread(this.figures.writeP50Ms),
        perSecondSpread: spread(this.figures.perSecond),
        primaryGapMs: gap(this.#gaps.primary),
        otherGapMs: gap(this.#gaps.other),
        handOverGapMs: gap(this.#gaps.handOver),
      },
    }
  }

  /** Says which calls failed, if any did. */
  failures(): ReadonlyArray<string> {
    const failed = (of: ReadonlyArray<Gap>): number => of.reduce((sum, gap) => sum + gap.failed, 0)
    const { primary, other, handOver } = this.#gaps
    if (failed(primary) + failed(other) + failed(handOver) === 0) return []
    return [
      `${this.#name}: calls that failed, of all in the gaps: primary killed ${failed(primary)}, other killed ${failed(other)}, handed over ${failed(handOver)}`,
    ]
  }

  async #counters(reads?: Reads): Promise<ReadonlyArray<ActorClient<Counter>>> {
    const client = await this.#group.connect()
    const actorClass = counterOf(MODES[this.#name])
    return KEYS.map((key) => client.actor(actorClass, key, reads === undefined ? {} : { reads }))
  }

  async #killed(name = ""): Promise<Gap> {
    const gap = await this.#gap(() => this.#group.replica(name).kill())
    await this.#group.replica(name).start()
    if (this.#hasPrimary) await this.#group.primary()
    return gap
  }

  async #gap(strike: () => Promise<unknown>): Promise<Gap> {
    const counters = await this.#counters()
    return gapOf(async (caller) => counters[caller]?.add(1), strike)
  }
}

async function percentiles(
  calls: number,
  call: (index: number) => Promise<unknown>,
): Promise<readonly [p50Ms: number, p99Ms: number]> {
  const sorted = (await latencies(calls, call)).toSorted((a, b) => a - b)
  return [percentile(sorted, 0.5), percentile(sorted, 0.99)]
}

/** In ratios, which carry over to other machines. */
function comparisonOf({ name, figures }: Row, first: Row | undefined): ReadonlyArray<string> {
  if (first === undefined || first.name === name) return []
  const times = (figure: string): string =>
    ratio((figures[figure] ?? Number.NaN) / (first.figures[figure] ?? Number.NaN))
  return [
    `${name}: write p50 ${times("writeP50Ms")} × ${first.name}, read p50 ${times("readP50Ms")} ×, writes/s ${times("perSecond")} ×`,
  ]
}
