import { setTimeout as sleep } from "node:timers/promises"
import { type Server, startServer } from "lockstep/develop"
import { Audit } from "./audit.ts"
import { type Burst, callAll, callFor } from "./callers.ts"
import type { Chart } from "./chart.ts"
import { Voted } from "./counter.ts"
import { cpuMs } from "./cpu.ts"
import { BenchGroup } from "./group.ts"
import type { Held } from "./held.ts"
import { median, spread } from "./measure.ts"
import type { Scale } from "./scale.ts"
import { bytes, count, milliseconds, plusMinus, ratio, type Row, type Table } from "./table.ts"

const OPEN = [1, 1000, 4096] as const
const KEYS = 1000
/** Of a log's room, which the server keeps aside for each. */
const LOG_BYTES_MAX = 256 * 1024 ** 2

/** What it costs to spread the same actors over several logs, on the same three replicas: and to do nothing with them. */
export async function measurePartitions(scale: Scale): Promise<Table> {
  const sizes = scale === "quick" ? [1, 4] : [1, 4, 16, 64]
  const rounds = scale === "quick" ? 1 : 5
  const forMs = scale === "quick" ? 100 : 1000
  const idleMs = scale === "quick" ? 1000 : 10_000
  await using stack = new AsyncDisposableStack()
  const divisions: Array<Division> = []
  for (const size of sizes) {
    const server = stack.use(await startServer())
    const group = stack.use(
      await BenchGroup.start({
        module: "counter.ts",
        checkpointEveryBatches: 1000,
        server,
        partitions: size,
        logBytesMax: LOG_BYTES_MAX,
      }),
    )
    divisions.push(await Division.of(size, group, server))
  }
  for (const division of divisions) await division.weigh()
  await Promise.all(divisions.map((division) => division.rest(idleMs)))
  // the first round warms up, and counts for nothing
  for (let round = 0; round <= rounds; round++) {
    for (const division of round % 2 === 0 ? divisions : divisions.toReversed())
      await division.measure(forMs, round === 0 ? "forgotten" : "counted")
    process.stderr.write(".")
  }
  for (const division of divisions) await division.check()
  process.stderr.write("\n")
  const rows = divisions.map((division) => division.row())
  return {
    title: "Partitions",
    settings: {
      replicas: "three processes for each number of partitions, with a folder and a nats-server of its own",
      actors: `${count(KEYS)} counters, spread over the partitions by their keys, called by one client`,
      rounds: `${rounds}, in which all take turns: ${count(forMs)} ms each with ${OPEN.map(count).join(", ")} calls open`,
      idle: `what its processes have of a processor while nobody calls, in ${count(idleMs)} ms`,
      "checked at the end": "every counter is what was acknowledged of it",
    },
    columns: [
      { title: "p50", figure: "p50Ms", format: milliseconds },
      { title: "", figure: "p50Spread", format: plusMinus },
      { title: "p99", figure: "p99Ms", format: milliseconds },
      ...OPEN.slice(1).flatMap((open) => [
        { title: `calls/s, ${count(open)} open`, figure: `perSecond${open}`, format: count },
        { title: "", figure: `perSecond${open}Spread`, format: plusMinus },
      ]),
      { title: "calls per entry", figure: "callsPerEntry", format: ratio },
      { title: "heap", figure: "heapBytes", format: bytes },
      { title: "RSS", figure: "rssBytes", format: bytes },
      { title: "idle replica", figure: "idleReplicaShare", format: ofOneCore },
      { title: "idle server", figure: "idleServerShare", format: ofOneCore },
    ],
    rows,
    notes: [
      "Medians of rounds (spread). Memory and idleness are of one replica process: the median of three, before the rounds, after",
      `${count(KEYS)} calls and collections. Calls per entry are those with ${count(OPEN.at(-1) ?? 0)} open: a client packs what is called in one turn, for each partition apart.`,
      ...divisions.slice(1).flatMap((division) => comparison(division, divisions[0])),
      ...further(rows),
    ],
    charts: chartsOf(divisions),
  }
}

/** A group with so many partitions. */
class Division {
  readonly size: number
  readonly bursts: Readonly<Record<(typeof OPEN)[number], Array<Burst>>> = { 1: [], 1000: [], 4096: [] }
  readonly #group: BenchGroup
  readonly #server: Server
  readonly #audit: Audit
  readonly #callsPerEntry: Array<number> = []
  #calls = 0
  #held: ReadonlyArray<Held> = []
  #idle: { readonly replica: number | undefined; readonly server: number | undefined } | undefined

  private constructor(size: number, group: BenchGroup, server: Server, audit: Audit) {
    this.size = size
    this.#group = group
    this.#server = server
    this.#audit = audit
  }

  static async of(size: number, group: BenchGroup, server: Server): Promise<Division> {
    const client = await group.connect()
    const counters = Array.from({ length: KEYS }, (_, i) => client.actor(Voted, `key-${i}`))
    const audit = new Audit(counters.map((counter) => () => counter.add(1)))
    return new Division(size, group, server, audit)
  }

  /** What a replica holds that has executed something in each partition. */
  async weigh(): Promise<void> {
    await callAll({ calls: KEYS, open: KEYS }, (i) => this.#audit.add(i))
    await this.#group.settled()
    this.#held = await Promise.all(this.#group.names.map((name) => this.#group.held(name)))
  }

  /** Does nothing for a while, and looks what that took. */
  async rest(forMs: number): Promise<void> {
    const pids = [...this.#group.names.map((name) => this.#group.replica(name).pid), this.#server.pid]
    const before = pids.map((pid) => cpuMs(pid))
    const startMs = performance.now()
    await sleep(forMs)
    const tookMs = performance.now() - startMs
    const shares = pids.map((pid, i) => {
      const [from, to] = [before[i], cpuMs(pid)]
      return from === undefined || to === undefined ? undefined : (to - from) / tookMs
    })
    const replicas = shares.slice(0, -1).flatMap((share) => share ?? [])
    this.#idle = { replica: replicas.length > 0 ? median(replicas) : undefined, server: shares.at(-1) }
  }

  async measure(forMs: number, rounds: "counted" | "forgotten"): Promise<void> {
    for (const open of OPEN) {
      const [before, calls] = [await this.#group.log(), this.#calls]
      const burst = await callFor({ forMs, open }, () => this.#audit.add(this.#calls++ % KEYS))
      await this.#group.settled()
      if (rounds === "forgotten") continue
      this.bursts[open].push(burst)
      if (open !== OPEN.at(-1)) continue
      const { entries } = await this.#group.log()
      this.#callsPerEntry.push((this.#calls - calls) / (entries - before.entries))
    }
  }

  check(): Promise<void> {
    return this.#audit.check(nameOf(this))
  }

  row(): Row {
    const figures: Record<string, number | undefined> = {
      partitions: this.size,
      p50Ms: median(this.bursts[1].map(({ p50Ms }) => p50Ms)),
      p50Spread: spread(this.bursts[1].map(({ p50Ms }) => p50Ms)),
      p99Ms: median(this.bursts[1].map(({ p99Ms }) => p99Ms)),
    }
    for (const open of OPEN.slice(1)) {
      const perSecond = this.bursts[open].map((burst) => burst.perSecond)
      figures[`perSecond${open}`] = median(perSecond)
      figures[`perSecond${open}Spread`] = spread(perSecond)
    }
    return {
      name: nameOf(this),
      figures: {
        ...figures,
        callsPerEntry: median(this.#callsPerEntry),
        heapBytes: median(this.#held.map(({ heapBytes }) => heapBytes)),
        rssBytes: median(this.#held.map(({ rssBytes }) => rssBytes)),
        idleReplicaShare: this.#idle?.replica,
        idleServerShare: this.#idle?.server,
      },
    }
  }
}

const nameOf = ({ size }: Division): string => `${count(size)} ${size === 1 ? "partition" : "partitions"}`

/** `2.3 %` of one core. */
const ofOneCore = (share: number): string => `${(100 * share).toFixed(1)} %`

/** The ratios of each round, which carry over to other machines. */
function comparison(division: Division, first: Division | undefined): ReadonlyArray<string> {
  const times = (open: (typeof OPEN)[number], figure: keyof Burst): string => {
    const alone = first?.bursts[open] ?? []
    const ratios = division.bursts[open].map((burst, i) => burst[figure] / (alone[i]?.[figure] ?? Number.NaN))
    return `${ratio(median(ratios))} ×`
  }
  return [
    `${nameOf(division)} by one: latency p50 ${times(1, "p50Ms")}; throughput with 1,000 open ${times(1000, "perSecond")}, with 4,096 open ${times(4096, "perSecond")}`,
  ]
}

/** What one more partition takes, by the difference of the fewest and the most. */
function further(rows: ReadonlyArray<Row>): ReadonlyArray<string> {
  const [few, many] = [rows[0]?.figures, rows.at(-1)?.figures]
  const each = (figure: string): number | undefined => {
    const [from, to] = [few?.[figure], many?.[figure]]
    if (from === undefined || to === undefined) return undefined
    return (to - from) / ((many?.["partitions"] ?? 0) - (few?.["partitions"] ?? 0))
  }
  const [heap = Number.NaN, replica, server] = ["heapBytes", "idleReplicaShare", "idleServerShare"].map(each)
  const idle =
    replica === undefined || server === undefined
      ? ""
      : `, and while it is idle ${(1000 * replica).toFixed(2)} ms a second of a processor, and ${(1000 * server).toFixed(2)} ms of the server's`
  return [`Each further partition takes ${bytes(heap)} of a replica's heap${idle}.`]
}

function chartsOf(divisions: ReadonlyArray<Division>): ReadonlyArray<Chart> {
  const bars = (open: (typeof OPEN)[number], figure: keyof Burst): Chart["groups"] => [
    {
      bars: divisions.map((division) => {
        const values = division.bursts[open].map((burst) => burst[figure])
        return { name: nameOf(division), value: median(values), spread: spread(values) }
      }),
    },
  ]
  return [
    {
      title: "Latency of one call at a time, p50, by the number of partitions",
      unit: "milliseconds",
      better: "less",
      scale: "linear",
      groups: bars(1, "p50Ms"),
    },
    {
      title: "Throughput with 4,096 calls open, by the number of partitions",
      unit: "calls per second",
      better: "more",
      scale: "linear",
      groups: bars(4096, "perSecond"),
    },
  ]
}
