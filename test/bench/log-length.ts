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
const CHECKPOINT_EVERY_BATCHES = 1000
/** So that the log does not end at a checkpoint, where one is taken each time that so many were executed. */
const TAIL_ENTRIES = CHECKPOINT_EVERY_BATCHES / 2
const LOG_BYTES_MAX = 32 * 1024 ** 3
/** Longer logs are read once. */
const READ_AGAIN_MAX = 1_000_000
/** Of a full run. What would take longer than what is left of it is left out, and said. */
const BUDGET_MS = 480_000

/** A log that grows: it is read at each of these lengths. */
interface Growth {
  readonly commandsEach: number
  readonly lengths: ReadonlyArray<number>
}

const GROWTHS: Readonly<Record<Scale, ReadonlyArray<Growth>>> = {
  quick: [
    { commandsEach: 1, lengths: [5000, 20_000] },
    { commandsEach: 16, lengths: [20_000] },
  ],
  full: [
    { commandsEach: 256, lengths: [40_000] },
    { commandsEach: 16, lengths: [1_000_000] },
    { commandsEach: 1, lengths: [1_000_000, 10_000_000] },
  ],
}

/** How long a replica takes to execute a long log, with one command in each entry and with many, and with a checkpoint near its end. */
export async function measureLogLength(scale: Scale): Promise<Table> {
  const rounds = scale === "quick" ? 1 : 3
  const untilMs = performance.now() + BUDGET_MS
  const rows: Array<Row> = []
  const leftOut: Array<string> = []
  for (const { commandsEach, lengths } of GROWTHS[scale]) {
    await using log = await LongLog.start(commandsEach)
    for (const length of lengths) {
      const name = `${count(length)} × ${count(commandsEach)}`
      const expectedMs = log.expectedMs(length)
      if (performance.now() + expectedMs > untilMs) {
        leftOut.push(`${name}: left out, because it would have taken about ${count(expectedMs / 1000)} s`)
        continue
      }
      rows.push(...(await log.measure(name, length, length > READ_AGAIN_MAX ? 1 : rounds)))
    }
    await log.check()
    process.stderr.write("\n")
  }
  return {
    title: "Entries × commands in each",
    settings: {
      log: "written as a client would, but without waiting for answers; one nats-server, sync_interval by default",
      commands: `over ${count(KEYS.length)} actors in turn; a checkpoint every ${count(CHECKPOINT_EVERY_BATCHES)} batches or 250,000 commands`,
      replica: "one process with a folder, of a group of one (f = 0): each replica of a larger group does the same",
      rounds: `${rounds} for each row, one where a log has more than ${count(READ_AGAIN_MAX)} entries; nothing that would end more than ${count(BUDGET_MS / 1000)} s after the start is begun`,
      "checked at the end": "every actor has executed all of its commands, once",
    },
    columns: [
      { title: "log", figure: "logBytes", format: bytes },
      { title: "executed", figure: "executedEntries", format: count },
      { title: "from its start", figure: "totalMs", format: milliseconds },
      { title: "of it recovery", figure: "recoveryMs", format: milliseconds },
      { title: "", figure: "recoverySpread", format: plusMinus },
      { title: "per million entries", figure: "perMillionMs", format: milliseconds },
      { title: "entries/s", figure: "entriesPerSecond", format: count },
      { title: "commands/s", figure: "commandsPerSecond", format: count },
      { title: "peak RSS", figure: "peakRssBytes", format: bytes },
    ],
    rows,
    notes: [
      "Medians (spread), until all that was in the log at the start is executed. Who executes the log takes checkpoints on the way, as always.",
      "Recovery from a checkpoint is what the start takes longer than with an empty log.",
      "Aimed at: 300,000 commands/s of a replica that executes a log from its first entry.",
      ...leftOut,
    ],
    charts: [chartOf(rows)],
  }
}

/** A log, its server, and one replica that is started when it is to read it. */
class LongLog implements AsyncDisposable {
  readonly #commandsEach: number
  readonly #log: LogServers
  readonly #group: BenchGroup
  readonly #scribe: Scribe
  /** What a start takes that has nothing to read. */
  readonly #startMs: number
  #length = 0
  #msPerEntry = 0

  private constructor(
    commandsEach: number,
    parts: {
      readonly log: LogServers
      readonly group: BenchGroup
      readonly scribe: Scribe
      readonly startMs: number
    },
  ) {
    this.#commandsEach = commandsEach
    this.#log = parts.log
    this.#group = parts.group
    this.#scribe = parts.scribe
    this.#startMs = parts.startMs
  }

  static async start(commandsEach: number): Promise<LongLog> {
    await using stack = new AsyncDisposableStack()
    const log = stack.use(await LogServers.start({ copies: 1, sync: "default" }))
    const group = stack.use(
      await BenchGroup.start({
        module: "solo.ts",
        replicas: 1,
        checkpointEveryBatches: CHECKPOINT_EVERY_BATCHES,
        log,
        logBytesMax: LOG_BYTES_MAX,
      }),
    )
    const { caughtUpMs: startMs } = await group.restart(REPLICA, { store: "emptied" })
    await group.replica(REPLICA).kill()
    const script = { type: define(Solo).type, member: "visit", keys: KEYS }
    const scribe = await Scribe.open(log.urls, "main", script)
    stack.move()
    return new LongLog(commandsEach, { log, group, scribe, startMs })
  }

  /** How long `measure` would take, by the last time. */
  expectedMs(length: number): number {
    return length * this.#msPerEntry
  }

  async measure(name: string, length: number, rounds: number): Promise<ReadonlyArray<Row>> {
    const startMs = performance.now()
    await this.#scribe.write(length + TAIL_ENTRIES - this.#length, this.#commandsEach)
    this.#length = length + TAIL_ENTRIES
    process.stderr.write("o")
    const [whole, kept]: [Array<Recovery>, Array<Recovery>] = [[], []]
    for (let round = 0; round < rounds; round++) {
      whole.push(await this.#recovery("first entry"))
      kept.push(await this.#recovery("own checkpoint"))
      process.stderr.write(".")
    }
    await this.#group.replica(REPLICA).kill()
    this.#msPerEntry = (performance.now() - startMs) / length
    const { bytes: logBytes } = await this.#group.log()
    const row = (began: string, recoveries: ReadonlyArray<Recovery>): Row =>
      rowOf(`${name}, ${began}`, { logBytes, entries: length, recoveries })
    return [row("from its first entry", whole), row("from a checkpoint", kept)]
  }

  /** Every actor has executed all of its commands, or the bench fails. */
  async check(): Promise<void> {
    await this.#group.restart(REPLICA, { store: "kept" })
    const client = await this.#group.connect()
    const visits = KEYS.map((key) => client.actor(Solo, key)).map((actor) => () => actor.visit())
    await new Audit(visits, (key) => this.#scribe.writtenOf(key)).check("a long log")
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scribe[Symbol.asyncDispose]()
    await this.#group[Symbol.asyncDispose]()
    await this.#log[Symbol.asyncDispose]()
  }

  async #recovery(from: "first entry" | "own checkpoint"): Promise<Recovery> {
    const isWhole = from === "first entry"
    const start = await this.#group.restart(REPLICA, { store: isWhole ? "emptied" : "kept" })
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

function rowOf(
  name: string,
  log: {
    readonly logBytes: number
    readonly entries: number
    readonly recoveries: ReadonlyArray<Recovery>
  },
): Row {
  const { logBytes, entries, recoveries } = log
  const middle = (value: (recovery: Recovery) => number | undefined): number | undefined => {
    const values = recoveries.flatMap((recovery) => value(recovery) ?? [])
    return values.length === 0 ? undefined : median(values)
  }
  const recoveryMs = median(recoveries.map((recovery) => recovery.recoveryMs))
  // from a checkpoint, most of the time goes into what is no entry
  const perSecond = (done: (recovery: Recovery) => number): number | undefined =>
    middle((each) => (each.beganAt === "first entry" ? (done(each) * 1000) / each.recoveryMs : undefined))
  return {
    name,
    figures: {
      logEntries: entries,
      logBytes,
      executedEntries: middle((each) => each.entries - each.beganAfter),
      totalMs: middle(({ caughtUpMs }) => caughtUpMs),
      recoveryMs,
      recoverySpread: recoveries.length > 1 ? spread(recoveries.map((each) => each.recoveryMs)) : undefined,
      perMillionMs: (1e6 * recoveryMs) / entries,
      entriesPerSecond: perSecond((each) => each.entries),
      commandsPerSecond: perSecond((each) => each.commands),
      peakRssBytes: middle(({ peakBytes }) => peakBytes),
    },
  }
}

function chartOf(rows: ReadonlyArray<Row>): Chart {
  const bars = rows.flatMap(({ name, figures }): ReadonlyArray<Bar> => {
    const { recoveryMs, recoverySpread } = figures
    if (recoveryMs === undefined || recoveryMs <= 0) return []
    return [{ name, value: recoveryMs, ...(recoverySpread !== undefined && { spread: recoverySpread }) }]
  })
  return {
    title: "Recovery of a replica, entries × commands in each",
    unit: "milliseconds",
    better: "less",
    scale: "logarithmic",
    groups: [{ bars }],
  }
}
