import { setTimeout as sleep } from "node:timers/promises"
import { define } from "@lockstep/actor"
import { Audit } from "./audit.ts"
import type { Bar, Chart } from "./chart.ts"
import { processMemory } from "./disk.ts"
import { BenchGroup, type Start } from "./group.ts"
import { LogServers } from "./log-servers.ts"
import { median, spread } from "./measure.ts"
import type { Scale } from "./scale.ts"
import { Scribe } from "./scribe.ts"
import { Solo } from "./solo.ts"
import { bytes, count, milliseconds, plusMinus, type Row, type Table } from "./table.ts"

const KEYS = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
const REPLICA = "r0"
/** So that the log does not end at a checkpoint. */
const TAIL_ENTRIES = 500
/** That the replica may be behind while the log is written: what it attests is about where it would be in the log of a real group. */
const BEHIND_ENTRIES = 5000
const KEEPING_MS = 500
const LOG_BYTES_MAX = 32 * 1024 ** 3
/** What takes longer is done once. */
const AGAIN_MS_MAX = 10_000
/** Of a full run. What would take longer than what is left of it is left out, and said. */
const BUDGET_MS = 480_000

/** A log that grows: it is read at each of these lengths. */
interface Growth extends Kind {
  readonly lengths: ReadonlyArray<number>
}

interface Kind {
  readonly commandsEach: number
  /** As often as by default, or as rarely as may be. */
  readonly checkpoints: "usual" | "rare"
}

const EVERY_BATCHES: Readonly<Record<Kind["checkpoints"], number>> = { usual: 1000, rare: 1_000_000_000 }
/** However many batches they were in. */
const RARELY_COMMANDS = 250_000

const GROWTHS: Readonly<Record<Scale, ReadonlyArray<Growth>>> = {
  quick: [
    { commandsEach: 16, checkpoints: "usual", lengths: [20_000] },
    { commandsEach: 1, checkpoints: "rare", lengths: [5000, 20_000] },
  ],
  full: [
    { commandsEach: 256, checkpoints: "usual", lengths: [40_000] },
    { commandsEach: 16, checkpoints: "usual", lengths: [1_000_000] },
    { commandsEach: 1, checkpoints: "usual", lengths: [1_000_000] },
    { commandsEach: 16, checkpoints: "rare", lengths: [1_000_000] },
    { commandsEach: 1, checkpoints: "rare", lengths: [1_000_000, 10_000_000] },
  ],
}

/** How long a replica takes to execute a long log, with one command in each entry and with many, and with a checkpoint near its end. */
export async function measureLogLength(scale: Scale): Promise<Table> {
  const rounds = scale === "quick" ? 1 : 3
  const untilMs = performance.now() + BUDGET_MS
  const rows: Array<Row> = []
  const leftOut: Array<string> = []
  for (const { lengths, ...kind } of GROWTHS[scale]) {
    await using log = await LongLog.start(kind)
    for (const length of lengths) {
      const expectedMs = log.expectedMs(length)
      if (performance.now() + expectedMs < untilMs) rows.push(await log.measure(length, rounds))
      else
        leftOut.push(
          `${nameOf(kind, length)}: left out, because it would have taken about ${count(expectedMs / 1000)} s`,
        )
    }
    await log.check()
    process.stderr.write("\n")
  }
  return {
    title: "Entries × commands in each",
    settings: {
      log: "written as a client would, but without waiting for answers; one nats-server, sync_interval by default",
      commands: `over ${count(KEYS.length)} actors in turn`,
      checkpoints: `every ${count(EVERY_BATCHES.usual)} batches, or where they are rare after ${count(RARELY_COMMANDS)} commands; taken on the way, too`,
      replica:
        "one process with a folder, of a group of one (f = 0): each replica of a larger group does the same",
      rounds: `${rounds}, one where it takes more than ${count(AGAIN_MS_MAX / 1000)} s; nothing is begun that would end more than ${count(BUDGET_MS / 1000)} s after the start`,
      "checked at the end": "every actor has executed all of its commands, once",
    },
    columns: [
      { title: "log", figure: "logBytes", format: bytes },
      { title: "from the first entry", figure: "wholeMs", format: milliseconds },
      { title: "", figure: "wholeSpread", format: plusMinus },
      { title: "per million entries", figure: "wholePerMillionMs", format: milliseconds },
      { title: "entries/s", figure: "entriesPerSecond", format: count },
      { title: "commands/s", figure: "commandsPerSecond", format: count },
      { title: "peak RSS", figure: "peakRssBytes", format: bytes },
      { title: "from a checkpoint", figure: "keptMs", format: milliseconds },
      { title: "per million entries", figure: "keptPerMillionMs", format: milliseconds },
      { title: "entries after it", figure: "keptEntries", format: count },
    ],
    rows,
    notes: [
      "Medians (spread), until all that was in the log at the start is executed: from the first entry since the attachment to the log; from",
      "a checkpoint what the start takes longer than with an empty log.",
      "Aimed at: 300,000 commands/s of a replica that executes a log from its first entry.",
      ...leftOut,
    ],
    charts: chartsOf(rows),
  }
}

function nameOf({ commandsEach, checkpoints }: Kind, length: number): string {
  return `${count(length)} × ${count(commandsEach)}${checkpoints === "rare" ? ", rare checkpoints" : ""}`
}

/** A log, its server, and one replica that reads it. */
class LongLog implements AsyncDisposable {
  readonly #kind: Kind
  readonly #log: LogServers
  readonly #group: BenchGroup
  readonly #scribe: Scribe
  /** What a start takes that has nothing to read. */
  readonly #startMs: number
  #length = 0
  #msPerEntry = 0

  private constructor(
    kind: Kind,
    parts: {
      readonly log: LogServers
      readonly group: BenchGroup
      readonly scribe: Scribe
      readonly startMs: number
    },
  ) {
    this.#kind = kind
    this.#log = parts.log
    this.#group = parts.group
    this.#scribe = parts.scribe
    this.#startMs = parts.startMs
  }

  static async start(kind: Kind): Promise<LongLog> {
    await using stack = new AsyncDisposableStack()
    const log = stack.use(await LogServers.start({ copies: 1, sync: "default" }))
    const group = stack.use(
      await BenchGroup.start({
        module: "solo.ts",
        replicas: 1,
        checkpointEveryBatches: EVERY_BATCHES[kind.checkpoints],
        log,
        logBytesMax: LOG_BYTES_MAX,
      }),
    )
    const { caughtUpMs: startMs } = await group.restart(REPLICA, { store: "emptied" })
    const script = { type: define(Solo).type, member: "visit", keys: KEYS }
    const scribe = await Scribe.open(log.urls, "main", script)
    stack.move()
    return new LongLog(kind, { log, group, scribe, startMs })
  }

  /** How long `measure` would take, by the last time. */
  expectedMs(length: number): number {
    return length * this.#msPerEntry
  }

  async measure(length: number, rounds: number): Promise<Row> {
    const startMs = performance.now()
    await this.#write(length + TAIL_ENTRIES - this.#length)
    this.#length = length + TAIL_ENTRIES
    process.stderr.write("o")
    const [whole, kept]: [Array<Recovery>, Array<Recovery>] = [[], []]
    for (let round = 0; round < rounds && (whole[0]?.recoveryMs ?? 0) < AGAIN_MS_MAX; round++) {
      whole.push(await this.#recovery("first entry"))
      if (this.#hasCheckpoint) kept.push(await this.#recovery("own checkpoint"))
      process.stderr.write(".")
      // a longer log may be read once only
      if (round === 0) this.#msPerEntry = (performance.now() - startMs) / length
    }
    const { bytes: logBytes } = await this.#group.log()
    return {
      name: nameOf(this.#kind, length),
      figures: {
        logEntries: length,
        commandsEach: this.#kind.commandsEach,
        logBytes,
        ...figuresOf(length, whole, kept),
      },
    }
  }

  /** Every actor has executed all of its commands, or the bench fails. */
  async check(): Promise<void> {
    const client = await this.#group.connect()
    const visits = KEYS.map((key) => client.actor(Solo, key)).map((actor) => () => actor.visit())
    await new Audit(visits, (key) => this.#scribe.writtenOf(key)).check("a long log")
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scribe[Symbol.asyncDispose]()
    await this.#group[Symbol.asyncDispose]()
    await this.#log[Symbol.asyncDispose]()
  }

  get #hasCheckpoint(): boolean {
    const { commandsEach, checkpoints } = this.#kind
    return this.#length >= EVERY_BATCHES[checkpoints] || this.#length * commandsEach >= RARELY_COMMANDS
  }

  /**
   * Where checkpoints are many, the replica is there meanwhile, and not far behind: what it attests is in the log then, about where it would be
   * in the log of a real group, and lets who reads it later forget old checkpoints.
   */
  async #write(entries: number): Promise<void> {
    const { commandsEach, checkpoints } = this.#kind
    if (checkpoints === "rare") {
      await this.#group.replica(REPLICA).kill()
      return this.#scribe.write(entries, commandsEach)
    }
    for (let left = entries; left > 0; left -= BEHIND_ENTRIES)
      await Promise.all([
        this.#scribe.write(Math.min(left, BEHIND_ENTRIES), commandsEach),
        this.#group.settled(),
      ])
  }

  async #recovery(from: "first entry" | "own checkpoint"): Promise<Recovery> {
    const isWhole = from === "first entry"
    const start = await this.#group.restart(REPLICA, { store: isWhole ? "emptied" : "kept" })
    // the last checkpoint is on its way to the disk
    if (isWhole) await sleep(KEEPING_MS)
    if (start.beganAt !== from) throw new Error(`the replica began at: ${start.beganAt}, and not at: ${from}`)
    return {
      ...start,
      recoveryMs: start.caughtUpMs - (isWhole ? start.attachedMs : this.#startMs),
      peakBytes: processMemory(this.#group.replica(REPLICA).pid)?.peakBytes,
    }
  }
}

interface Recovery extends Start {
  readonly recoveryMs: number
  readonly peakBytes: number | undefined
}

function figuresOf(
  entries: number,
  whole: ReadonlyArray<Recovery>,
  kept: ReadonlyArray<Recovery>,
): Row["figures"] {
  const middle = (of: ReadonlyArray<Recovery>, value: (recovery: Recovery) => number): number | undefined =>
    of.length === 0 ? undefined : median(of.map(value))
  const [wholeMs, keptMs] = [whole, kept].map((of) => middle(of, ({ recoveryMs }) => recoveryMs))
  const perMillion = (tookMs: number | undefined): number | undefined => tookMs && (1e6 * tookMs) / entries
  const peaks = whole.flatMap(({ peakBytes }) => peakBytes ?? [])
  return {
    wholeMs,
    wholeSpread: whole.length > 1 ? spread(whole.map(({ recoveryMs }) => recoveryMs)) : undefined,
    wholePerMillionMs: perMillion(wholeMs),
    entriesPerSecond: middle(whole, (each) => (1000 * each.entries) / each.recoveryMs),
    commandsPerSecond: middle(whole, (each) => (1000 * each.commands) / each.recoveryMs),
    peakRssBytes: peaks.length > 0 ? median(peaks) : undefined,
    keptMs,
    keptPerMillionMs: perMillion(keptMs),
    keptEntries: middle(kept, (each) => each.entries - each.beganAfter),
  }
}

function chartsOf(rows: ReadonlyArray<Row>): ReadonlyArray<Chart> {
  const bars = (figure: string): Chart["groups"] => [
    {
      bars: rows.flatMap(({ name, figures }): ReadonlyArray<Bar> => {
        const value = figures[figure]
        return value === undefined ? [] : [{ name, value }]
      }),
    },
  ]
  return [
    {
      title: "Commands that one replica executes of a log, entries × commands in each",
      unit: "calls per second",
      better: "more",
      scale: "linear",
      groups: bars("commandsPerSecond"),
    },
    {
      title: "Recovery per million entries, from the first entry",
      unit: "milliseconds",
      better: "less",
      scale: "linear",
      groups: bars("wholePerMillionMs"),
    },
  ]
}
