import { encode } from "@lockstep/core"
import type { Client } from "lockstep"
import { startServer } from "lockstep/develop"
import { Audit } from "./audit.ts"
import { type Burst, callAll, callFor } from "./callers.ts"
import type { Chart } from "./chart.ts"
import { Voted } from "./counter.ts"
import { BenchGroup } from "./group.ts"
import type { Held } from "./held.ts"
import { median, spread } from "./measure.ts"
import type { Scale } from "./scale.ts"
import { bytes, count, milliseconds, plusMinus, ratio, type Row, type Table } from "./table.ts"

const OPEN = 1000
const FILLING_OPEN = 4096
/** So that all of them stay in memory, which is what is measured here; `idle-actors` has those that leave it. */
const ACTOR_BYTES_MAX = 4 * 1024 ** 3
/** Where there are fewer, what they take is less than what a process takes now and then. */
const WEIGHED_FROM = 10_000
/** Prime to every number of actors, so that calls go round all of them, and not to neighbours. */
const STRIDE = 611_953
/** A checkpoint is due after so many commands, in however many batches they were. */
const CHECKPOINT_COMMANDS_MAX = 250_000
const STATE_BYTES = encode({ value: 1 }).length

/** Whether anything depends on how many actors there are: latency, throughput, and the memory of each. */
export async function measureActors(scale: Scale): Promise<Table> {
  const sizes = scale === "quick" ? [1, 100, 20_000] : [1, 1000, 100_000, 1_000_000]
  const rounds = scale === "quick" ? 1 : 3
  const aloneMs = scale === "quick" ? 200 : 1000
  const busyMs = scale === "quick" ? 200 : 4000
  const checkpointEveryBatches = scale === "quick" ? 100 : 1000
  const warmUpCalls = scale === "quick" ? 5000 : 100_000
  await using server = await startServer()
  await using stack = new AsyncDisposableStack()
  const populations: Array<Population> = []
  for (const size of sizes) {
    const group = await BenchGroup.start({
      module: "counter.ts",
      checkpointEveryBatches,
      server,
      group: `actors-${size}`,
      settings: { actorBytesMax: ACTOR_BYTES_MAX },
    })
    stack.use(group)
    const population = new Population(size, group, await group.connect())
    await population.fill(warmUpCalls)
    populations.push(population)
    process.stderr.write("o")
  }
  // the first round warms up, and counts for nothing
  for (let round = 0; round <= rounds; round++) {
    for (const population of round % 2 === 0 ? populations : populations.toReversed())
      await population.measure({ aloneMs, busyMs }, round === 0 ? "forgotten" : "counted")
    process.stderr.write(".")
  }
  for (const population of populations) await population.check()
  process.stderr.write("\n")
  const [first, last] = [populations[0], populations.at(-1)]
  return {
    title: "Actors",
    settings: {
      replicas: "three processes for each number of actors, with a folder each; one nats-server for all",
      actors: `counters, of which ${STATE_BYTES} bytes are their state; all in memory (actorBytesMax)`,
      checkpoints: `every ${count(checkpointEveryBatches)} batches`,
      rounds: `${rounds}, in which all take turns: ${count(aloneMs)} ms with one call at a time, ${count(busyMs)} ms with ${count(OPEN)} open, over all actors`,
      "checked at the end": "every counter is what was acknowledged of it",
    },
    columns: [
      { title: "p50", figure: "p50Ms", format: milliseconds },
      { title: "", figure: "p50Spread", format: plusMinus },
      { title: "p99", figure: "p99Ms", format: milliseconds },
      { title: `calls/s, ${count(OPEN)} open`, figure: "perSecond", format: count },
      { title: "", figure: "perSecondSpread", format: plusMinus },
      { title: "p50", figure: "busyP50Ms", format: milliseconds },
      { title: "at a checkpoint", figure: "checkpointMs", format: milliseconds },
      { title: "changed in it", figure: "changed", format: count },
      { title: "heap", figure: "heapBytes", format: bytes },
      { title: "RSS", figure: "rssBytes", format: bytes },
      { title: "heap per actor beyond its state", figure: "beyondStateBytes", format: bytes },
      { title: "RSS per actor", figure: "rssPerActorBytes", format: bytes },
    ],
    rows: populations.map((population) => population.row()),
    notes: [
      "Medians of rounds (spread). At a checkpoint: the longest call of those with many open, and of ones after them, one at a time, until all that",
      "was changed is in a checkpoint. One holds at most so many changed actors: replicas take it at the same entry, and go on meanwhile.",
      "Memory is the median of three processes, after collections and a checkpoint of all actors; per actor: by how much it grew with them.",
      ...(first === undefined || last === undefined ? [] : growth(first, last)),
    ],
    charts: chartsOf(populations),
  }
}

/** A group with so many actors. */
class Population {
  readonly size: number
  readonly alone: Array<Burst> = []
  readonly busy: Array<Burst> = []
  /** The longest call until all that the busy ones changed was in a checkpoint, and how many actors that held, at most. */
  readonly checkpoints: Array<{ readonly longestMs: number; readonly changed: number }> = []
  readonly #group: BenchGroup
  readonly #audit: Audit
  #calls = 0
  #before: ReadonlyArray<Held> = []
  #after: ReadonlyArray<Held> = []

  constructor(size: number, group: BenchGroup, client: Client) {
    this.size = size
    this.#group = group
    this.#audit = new Audit(
      Array.from({ length: size }, (_, i) => () => client.actor(Voted, `key-${i}`).add(1)),
    )
  }

  /** A process takes memory with its first commands, whatever they are for: so those go first. */
  async fill(warmUpCalls: number): Promise<void> {
    await callAll({ calls: warmUpCalls, open: FILLING_OPEN }, () => this.#audit.add(0))
    this.#before = await this.#held()
    await callAll({ calls: this.size - 1, open: FILLING_OPEN }, (i) => this.#audit.add(i + 1))
    this.#after = await this.#held()
  }

  /** Nothing of it is under way afterwards, and no checkpoint is due soon. */
  async measure(
    { aloneMs, busyMs }: { readonly aloneMs: number; readonly busyMs: number },
    round: "counted" | "forgotten",
  ): Promise<void> {
    const alone = await callFor({ forMs: aloneMs, open: 1 }, () => this.#next())
    const before = this.#calls
    const busy = await callFor({ forMs: busyMs, open: OPEN }, () => this.#next())
    const changed = Math.min(this.size, this.#calls - before, CHECKPOINT_COMMANDS_MAX)
    // one may have been taken in the midst of them
    const longestMs = Math.max(busy.longestMs, await this.#checkpointed(() => this.#next()))
    if (round === "forgotten") return
    this.alone.push(alone)
    this.busy.push(busy)
    this.checkpoints.push({ longestMs, changed })
  }

  check(): Promise<void> {
    return this.#audit.check(`${count(this.size)} actors`)
  }

  row(): Row {
    const of = (bursts: ReadonlyArray<Burst>, figure: keyof Burst) => bursts.map((burst) => burst[figure])
    const perActor = (figure: keyof Held): number =>
      median(this.#after.map((held, i) => held[figure] - (this.#before[i]?.[figure] ?? Number.NaN))) /
      this.size
    return {
      name: `${count(this.size)} ${this.size === 1 ? "actor" : "actors"}`,
      figures: {
        actors: this.size,
        p50Ms: median(of(this.alone, "p50Ms")),
        p50Spread: spread(of(this.alone, "p50Ms")),
        p99Ms: median(of(this.alone, "p99Ms")),
        perSecond: median(of(this.busy, "perSecond")),
        perSecondSpread: spread(of(this.busy, "perSecond")),
        busyP50Ms: median(of(this.busy, "p50Ms")),
        checkpointMs: median(this.checkpoints.map(({ longestMs }) => longestMs)),
        changed: median(this.checkpoints.map(({ changed }) => changed)),
        heapBytes: median(this.#after.map(({ heapBytes }) => heapBytes)),
        rssBytes: median(this.#after.map(({ rssBytes }) => rssBytes)),
        ...(this.size >= WEIGHED_FROM && {
          beyondStateBytes: perActor("heapBytes") - STATE_BYTES,
          rssPerActorBytes: perActor("rssBytes"),
        }),
      },
    }
  }

  #next(): Promise<void> {
    return this.#audit.add((this.#calls++ * STRIDE) % this.size)
  }

  /** Yields the longest of the calls until all that was in the log is in a checkpoint, milliseconds. */
  async #checkpointed(call: () => Promise<void>): Promise<number> {
    let longestMs = 0
    await this.#group.checkpointed(async () => {
      const calledMs = performance.now()
      await call()
      longestMs = Math.max(longestMs, performance.now() - calledMs)
    })
    await this.#group.settled()
    return longestMs
  }

  async #held(): Promise<ReadonlyArray<Held>> {
    await this.#checkpointed(() => this.#audit.add(0))
    return Promise.all(this.#group.names.map((name) => this.#group.held(name)))
  }
}

/** With the most actors by that with one, of each round: the machine drifts from one to the next. */
function growth(first: Population, last: Population): ReadonlyArray<string> {
  const times = (of: "alone" | "busy", figure: keyof Burst): string => {
    const ratios = last[of].map((burst, i) => burst[figure] / (first[of][i]?.[figure] ?? Number.NaN))
    return ratio(median(ratios))
  }
  return [
    `${count(last.size)} actors by one: latency p50 ${times("alone", "p50Ms")} ×, p99 ${times("alone", "p99Ms")} ×; throughput ${times("busy", "perSecond")} ×`,
    `Aimed at: latency 1.00 ×, and at most 300 B of an idle actor beyond its state.`,
  ]
}

function chartsOf(populations: ReadonlyArray<Population>): ReadonlyArray<Chart> {
  const bars = (of: "alone" | "busy", figure: keyof Burst): Chart["groups"] => [
    {
      bars: populations.map((population) => {
        const values = population[of].map((burst) => burst[figure])
        const name = `${count(population.size)} ${population.size === 1 ? "actor" : "actors"}`
        return { name, value: median(values), spread: spread(values) }
      }),
    },
  ]
  return [
    {
      title: "Latency of one call at a time, p50, by the number of actors",
      unit: "milliseconds",
      better: "less",
      scale: "linear",
      groups: bars("alone", "p50Ms"),
    },
    {
      title: `Throughput with ${count(OPEN)} calls open, by the number of actors`,
      unit: "calls per second",
      better: "more",
      scale: "linear",
      groups: bars("busy", "perSecond"),
    },
  ]
}
