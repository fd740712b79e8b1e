import { setTimeout as sleep } from "node:timers/promises"
import { Audit } from "./audit.ts"
import type { Bar, Chart } from "./chart.ts"
import { type Fault, FAULTS, type Site } from "./fault.ts"
import { BenchGroup } from "./group.ts"
import { Witness } from "./liar.ts"
import { LogServers } from "./log-servers.ts"
import { median, spread } from "./measure.ts"
import type { Scale } from "./scale.ts"
import { callSteadily, type Noticed, noticed } from "./steady.ts"
import { count, milliseconds, plusMinus, ratio, type Row, type Table } from "./table.ts"

const PER_SECOND = 500
const KEYS = Array.from({ length: 100 }, (_, i) => `key-${i}`)
const CHECKPOINT_EVERY_BATCHES = 1000
/** As a client has it by default. */
const DEADLINE_MS = 10_000

/** What callers notice while something is wrong, if they call at a steady rate, whatever becomes of their calls. */
export async function measureFaults(scale: Scale): Promise<Table> {
  const rounds = scale === "quick" ? 1 : 5
  const times = scale === "quick" ? { aroundMs: 1000, wrongMs: 1500 } : { aroundMs: 3000, wrongMs: 3000 }
  const rows: Array<Row> = []
  for (const copies of [1, 3] as const) {
    const faults = FAULTS.filter((fault) => fault.copies === copies)
    rows.push(...(await measureOn(copies, faults, { rounds, ...times })))
  }
  process.stderr.write("\n")
  return {
    title: "While something is wrong",
    settings: {
      calls: `${count(PER_SECOND)} a second from one client over ${count(KEYS.length)} keys, deadline ${count(DEADLINE_MS)} ms, whatever became of those before`,
      group: "f = 1: three replica processes with a folder each",
      log: "one nats-server with one copy; where its leader is killed, three with a copy each; sync always",
      rounds: `${rounds}, of ${count(times.aroundMs)} ms before; ${count(times.wrongMs)} ms wrong; mended until all is as before; ${count(times.aroundMs)} ms after`,
      "checked at the end":
        "every counter is what was acknowledged of its key, and no more than what failed beside",
    },
    columns: COLUMNS,
    rows,
    notes: [
      // while the log is gone nobody is answered
      ...FAULTS.filter(({ copies }) => copies === 1).flatMap(({ name }) => movedBy(name, rows)),
      "Medians of rounds (spread). Latency counts from when a call was due, so that a stall is in all calls that were due in it;",
      "one that failed counts with the time until it did. A gap is the longest time without an answer. Calls and failed are of all rounds.",
      "A replica that lied is replaced by one with an empty folder, which executes the log from its first entry.",
    ],
    charts: [
      chartOf("p99 while something is wrong", rows, { value: "p99Ms", spread: "p99Spread" }),
      chartOf("Longest time without an answer", rows, { value: "gapMs", spread: "gapSpread" }),
    ],
  }
}

function chartOf(
  title: string,
  rows: ReadonlyArray<Row>,
  figure: { readonly value: string; readonly spread: string },
): Chart {
  const groups = FAULTS.map(({ name }) => ({
    name,
    bars: PHASES.map((phase): Bar => {
      const figures: Row["figures"] = rows.find((row) => row.name === rowName(name, phase))?.figures ?? {}
      return { name: phase, value: figures[figure.value] ?? Number.NaN, spread: figures[figure.spread] ?? 0 }
    }),
  }))
  return { title, unit: "milliseconds", better: "less", scale: "logarithmic", groups }
}

const COLUMNS: Table["columns"] = [
  { title: "p50", figure: "p50Ms", format: milliseconds },
  { title: "", figure: "p50Spread", format: plusMinus },
  { title: "p99", figure: "p99Ms", format: milliseconds },
  { title: "", figure: "p99Spread", format: plusMinus },
  { title: "longest gap", figure: "gapMs", format: milliseconds },
  { title: "longest of all", figure: "gapMaxMs", format: milliseconds },
  { title: "calls", figure: "calls", format: count },
  { title: "failed", figure: "failed", format: count },
]

/** By how much it moves what is usual. */
function movedBy(fault: string, rows: ReadonlyArray<Row>): ReadonlyArray<string> {
  const p50 = (phase: keyof Round) =>
    rows.find(({ name }) => name === rowName(fault, phase))?.figures["p50Ms"]
  const [before, wrong] = [p50("before"), p50("wrong")]
  return before === undefined || wrong === undefined
    ? []
    : [`${fault}: p50 ${ratio(wrong / before)} × before`]
}

interface Times {
  readonly aroundMs: number
  readonly wrongMs: number
}

/** The same group for all these faults, one after the other, in rounds. */
async function measureOn(
  copies: 1 | 3,
  faults: ReadonlyArray<Fault>,
  { rounds, ...times }: Times & { readonly rounds: number },
): Promise<ReadonlyArray<Row>> {
  await using log = await LogServers.start({ copies, sync: "always" })
  await using group = await BenchGroup.start({
    log,
    module: "liar.ts",
    checkpointEveryBatches: CHECKPOINT_EVERY_BATCHES,
    limits: { deadlineMs: DEADLINE_MS },
  })
  const client = await group.connect()
  const site = { group, log, client }
  const audit = new Audit(
    KEYS.map((key) => {
      const witness = client.actor(Witness, key)
      return () => witness.add(1)
    }),
  )
  const found = faults.map((fault) => ({ fault, rounds: new Array<Round>() }))
  for (let round = 0; round < rounds; round++)
    for (const of of found) {
      of.rounds.push(await strike(of.fault, site, audit, times))
      process.stderr.write(".")
    }
  await audit.check("lockstep")
  return found.flatMap((of) => PHASES.map((phase) => rowOf(of.fault.name, of.rounds, phase)))
}

const PHASES = ["before", "wrong", "mended", "after"] as const

type Round = Readonly<Record<(typeof PHASES)[number], Noticed>>

async function strike(fault: Fault, site: Site, audit: Audit, times: Times): Promise<Round> {
  const over = new AbortController()
  const calls = callSteadily({ perSecond: PER_SECOND, signal: over.signal }, (i) =>
    audit.add(i % KEYS.length),
  )
  // what starts meanwhile is not measured: the first calls open a session
  await sleep(times.aroundMs / 2)
  const beforeMs = performance.now()
  await sleep(times.aroundMs)
  const wrongMs = performance.now()
  await fault.strike(site, times.wrongMs)
  const rightMs = performance.now()
  const mendMs = Math.min(wrongMs + times.wrongMs, rightMs)
  await sleep(times.aroundMs)
  const endMs = performance.now()
  over.abort()
  const sent = await calls
  return {
    before: noticed(sent, { fromMs: beforeMs, toMs: wrongMs }),
    wrong: noticed(sent, { fromMs: wrongMs, toMs: mendMs }),
    mended: noticed(sent, { fromMs: mendMs, toMs: rightMs }),
    after: noticed(sent, { fromMs: rightMs, toMs: endMs }),
  }
}

function rowName(fault: string, phase: keyof Round): string {
  return `${fault}: ${phase}`
}

function rowOf(fault: string, rounds: ReadonlyArray<Round>, phase: keyof Round): Row {
  const of = (figure: keyof Noticed): ReadonlyArray<number> => rounds.map((round) => round[phase][figure])
  const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)
  const name = rowName(fault, phase)
  // what is mended at once leaves no time to call
  if (sum(of("calls")) === 0) return { name, figures: { calls: 0 } }
  return {
    name,
    figures: {
      p50Ms: median(of("p50Ms")),
      p50Spread: spread(of("p50Ms")),
      p99Ms: median(of("p99Ms")),
      p99Spread: spread(of("p99Ms")),
      gapMs: median(of("gapMs")),
      gapSpread: spread(of("gapMs")),
      gapMaxMs: Math.max(...of("gapMs")),
      calls: sum(of("calls")),
      failed: sum(of("failed")),
    },
  }
}
