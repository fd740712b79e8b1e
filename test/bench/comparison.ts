import { Audit } from "./audit.ts"
import { type Burst, callAll, callFor } from "./callers.ts"
import { type Bar, type BarGroup, type Chart, LOCKSTEP, PLAIN } from "./chart.ts"
import type { Contender } from "./contender.ts"
import { FLOOR_STREAM, startFloor } from "./floor.ts"
import { FRAMEWORK_STREAM, startFramework } from "./framework.ts"
import { LogServers } from "./log-servers.ts"
import { KEYS, type Load, MATRIX, type MatrixRow } from "./matrix.ts"
import { median, spread } from "./measure.ts"
import type { Scale } from "./scale.ts"
import { count, milliseconds, plusMinus, ratio, type Row, type Table } from "./table.ts"

/** The framework beside plain code that does the same work on the same servers, in one run, in rounds that take turns. */
export async function measureComparison(scale: Scale): Promise<Table> {
  const rounds = scale === "quick" ? 2 : 7
  const forMs = scale === "quick" ? 100 : 1000
  const warmUpCalls = scale === "quick" ? 0 : 15_000
  const cells: Array<Cell> = []
  for (const row of MATRIX) cells.push(...(await measureRow(row, { rounds, forMs, warmUpCalls })))
  return {
    title: "Beside plain code",
    settings: {
      "plain code":
        "publishes, three tails, two equal replies; nothing is checked, digested, chained or remembered",
      lockstep: "three replica processes, voted, f = 1",
      log: "a nats-server for each copy, all on this machine, their sync_interval always or the server's default of 2 minutes",
      "before that": `${count(warmUpCalls)} calls of each, one at a time, after which V8 has compiled what they need`,
      rounds: `${rounds} for each cell, in which both take turns, ${count(forMs)} ms each`,
      "checked at the end": "every counter is what was acknowledged of its key",
    },
    columns: COLUMNS,
    rows: cells.map(rowOf),
    notes: [
      "Medians of rounds (spread). × is lockstep by plain code, the median of the ratios of each round: a machine drifts within a run.",
      "Callers wait for their answers; latencies are those of 64 of them at most. Where many calls are open, latency is throughput told otherwise.",
      ...quotable(cells),
    ],
    charts: chartsOf(cells),
  }
}

const COLUMNS: Table["columns"] = [
  { title: "plain/s", figure: "plainPerSecond", format: count },
  { title: "", figure: "plainPerSecondSpread", format: plusMinus },
  { title: "lockstep/s", figure: "lockstepPerSecond", format: count },
  { title: "", figure: "lockstepPerSecondSpread", format: plusMinus },
  { title: "×", figure: "perSecondRatio", format: ratio },
  { title: "", figure: "perSecondRatioSpread", format: plusMinus },
  { title: "plain p50", figure: "plainP50Ms", format: milliseconds },
  { title: "lockstep p50", figure: "lockstepP50Ms", format: milliseconds },
  { title: "×", figure: "p50Ratio", format: ratio },
  { title: "", figure: "p50RatioSpread", format: plusMinus },
  { title: "plain p99", figure: "plainP99Ms", format: milliseconds },
  { title: "lockstep p99", figure: "lockstepP99Ms", format: milliseconds },
  { title: "×", figure: "p99Ratio", format: ratio },
]

/** One load on one log: a burst of each round, of both. */
interface Cell {
  readonly log: string
  readonly load: Load
  readonly plain: Array<Burst>
  readonly lockstep: Array<Burst>
}

/** The servers are this row's own: what was written to another log is not in their way. */
async function measureRow(
  { name, log: setup, loads }: MatrixRow,
  { rounds, forMs, warmUpCalls }: Readonly<Record<"rounds" | "forMs" | "warmUpCalls", number>>,
): Promise<ReadonlyArray<Cell>> {
  await using log = await LogServers.start(setup)
  await using lockstep = await startFramework(log.urls, log.copies)
  await using plain = await startFloor(log.urls, log.copies)
  await log.leadFromFirst(FRAMEWORK_STREAM)
  await log.leadFromFirst(FLOOR_STREAM)
  const audits = { plain: auditOf(plain), lockstep: auditOf(lockstep) }
  const cells = loads.map((load): Cell => ({ log: name, load, plain: [], lockstep: [] }))
  for (const contender of TURNS)
    await callAll({ calls: warmUpCalls, open: 1 }, (i) => audits[contender].add(i % KEYS.length))
  // the first round warms up, too, and counts for nothing
  for (let round = 0; round <= rounds; round++) {
    for (const cell of cells)
      for (const contender of round % 2 === 0 ? TURNS : TURNS.toReversed()) {
        const audit = audits[contender]
        const { open, keys } = cell.load
        const burst = await callFor({ forMs, open }, (i) => audit.add(i % keys))
        if (round > 0) cell[contender].push(burst)
      }
    process.stderr.write(".")
  }
  await audits.plain.check(plain.name)
  await audits.lockstep.check(lockstep.name)
  process.stderr.write("\n")
  return cells
}

const TURNS = ["plain", "lockstep"] as const

function auditOf(contender: Contender): Audit {
  return new Audit(KEYS.map((key) => contender.counter(key)))
}

function rowOf(cell: Cell): Row {
  const { log, load, plain, lockstep } = cell
  const of = (bursts: ReadonlyArray<Burst>, figure: keyof Burst) => bursts.map((burst) => burst[figure])
  return {
    name: `${log}: ${count(load.open)} open, ${count(load.keys)} ${load.keys === 1 ? "key" : "keys"}`,
    figures: {
      plainPerSecond: median(of(plain, "perSecond")),
      plainPerSecondSpread: spread(of(plain, "perSecond")),
      lockstepPerSecond: median(of(lockstep, "perSecond")),
      lockstepPerSecondSpread: spread(of(lockstep, "perSecond")),
      perSecondRatio: median(ratios(cell, "perSecond")),
      perSecondRatioSpread: spread(ratios(cell, "perSecond")),
      plainP50Ms: median(of(plain, "p50Ms")),
      plainP50Spread: spread(of(plain, "p50Ms")),
      lockstepP50Ms: median(of(lockstep, "p50Ms")),
      lockstepP50Spread: spread(of(lockstep, "p50Ms")),
      p50Ratio: median(ratios(cell, "p50Ms")),
      p50RatioSpread: spread(ratios(cell, "p50Ms")),
      plainP99Ms: median(of(plain, "p99Ms")),
      lockstepP99Ms: median(of(lockstep, "p99Ms")),
      p99Ratio: median(ratios(cell, "p99Ms")),
    },
  }
}

/** Lockstep by plain code, of each round. */
function ratios({ plain, lockstep }: Cell, figure: keyof Burst): ReadonlyArray<number> {
  return lockstep.map((burst, round) => burst[figure] / (plain[round]?.[figure] ?? Number.NaN))
}

function chartsOf(cells: ReadonlyArray<Cell>): ReadonlyArray<Chart> {
  const overKeys = cells.filter(({ load }) => load.keys === KEYS.length)
  const withOpen = (open: number, figure: keyof Burst): ReadonlyArray<BarGroup> =>
    overKeys
      .filter(({ load }) => load.open === open)
      .map(({ log, plain, lockstep }) => ({
        name: log,
        bars: [barOf(PLAIN, plain, figure), barOf(LOCKSTEP, lockstep, figure)],
      }))
  const shares = MATRIX.map(({ name }) => ({
    name,
    bars: overKeys
      .filter(({ log }) => log === name)
      .map((cell): Bar => {
        const values = ratios(cell, "perSecond")
        return { name: `${count(cell.load.open)} open`, value: median(values), spread: spread(values) }
      }),
  }))
  const most = Math.max(...cells.map(({ load }) => load.open))
  return [
    {
      title: `Throughput with ${count(most)} calls open`,
      unit: "calls per second",
      better: "more",
      scale: "linear",
      groups: withOpen(most, "perSecond"),
    },
    {
      title: "Latency of one call at a time, p50",
      unit: "milliseconds",
      better: "less",
      scale: "linear",
      groups: withOpen(1, "p50Ms"),
    },
    {
      title: "Lockstep's throughput by that of plain code",
      unit: "times",
      better: "more",
      scale: "linear",
      groups: shares,
    },
  ]
}

function barOf(name: string, bursts: ReadonlyArray<Burst>, figure: keyof Burst): Bar {
  const values = bursts.map((burst) => burst[figure])
  return { name, value: median(values), spread: spread(values) }
}

/** What release notes say: latency alone, and throughput with all that may be open, on the first log. */
function quotable(cells: ReadonlyArray<Cell>): ReadonlyArray<string> {
  const [{ name: log }] = MATRIX
  const of = cells.filter((cell) => cell.log === log && cell.load.keys === KEYS.length)
  const [alone, most] = [of[0], of.at(-1)]
  if (alone === undefined || most === undefined) return []
  const times = (cell: Cell, figure: keyof Burst): string => `${ratio(median(ratios(cell, figure)))} ×`
  return [
    `Of these, with ${log} and ${count(KEYS.length)} keys, latency with 1 open, and throughput with ${count(most.load.open)}:`,
    `latency p50: ${times(alone, "p50Ms")} plain code; p99: ${times(alone, "p99Ms")}; throughput: ${times(most, "perSecond")}`,
  ]
}
