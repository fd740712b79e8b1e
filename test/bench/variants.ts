import { startServer } from "lockstep/develop"
import { Audit } from "./audit.ts"
import { type Burst, callFor } from "./callers.ts"
import type { BarGroup, Chart } from "./chart.ts"
import { BenchGroup } from "./group.ts"
import { median, spread } from "./measure.ts"
import { parcelOf, VARIANT, type VariantName, VARIANTS } from "./parcel.ts"
import type { Scale } from "./scale.ts"
import { bytes, count, milliseconds, plusMinus, ratio, type Row, type Table } from "./table.ts"

/** Arguments, and how many calls are under way with them: fewer than a client lets wait, which is 64 MiB. */
const SIZES = [
  { name: "16 B", argumentBytes: 16, open: 4096 },
  { name: "1 KiB", argumentBytes: 1024, open: 4096 },
  { name: "64 KiB", argumentBytes: 65_536, open: 256 },
] as const
const KEYS = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
const CHECKPOINT_EVERY_BATCHES = 1000

/** What it costs to mask more faults, or worse ones, and to say more in a call: on one server, in rounds that take turns. */
export async function measureVariants(scale: Scale): Promise<Table> {
  const rounds = scale === "quick" ? 2 : 7
  const forMs = scale === "quick" ? 100 : 1000
  await using server = await startServer()
  await using stack = new AsyncDisposableStack()
  const variants: Array<Variant> = []
  for (const name of VARIANT_NAMES) {
    const group = await BenchGroup.start({
      server,
      group: `v${variants.length}`,
      module: "parcel.ts",
      replicas: VARIANTS[name].replicas,
      env: { [VARIANT]: name },
      checkpointEveryBatches: CHECKPOINT_EVERY_BATCHES,
    })
    stack.use(group)
    variants.push(await Variant.connect(name, group))
  }
  // the first round warms up, and counts for nothing
  for (let round = 0; round <= rounds; round++)
    for (const variant of variants) {
      const bursts = await variant.measure(forMs)
      if (round > 0) variant.rounds.push(bursts)
      process.stderr.write(".")
    }
  process.stderr.write("\n")
  for (const variant of variants) await variant.check()
  return {
    title: "What is masked, and what is said",
    settings: {
      rounds: `${rounds}, in which all take turns, ${count(forMs)} ms for each figure`,
      latency: "one call at a time",
      throughput: SIZES.map(({ name, open }) => `${count(open)} open of ${name}`).join(", "),
      keys: count(KEYS.length),
      "checked at the end": "every counter is what was acknowledged of its key",
    },
    columns: COLUMNS,
    rows: variants.map((variant) => variant.row(variants[0])),
    notes: [
      "Medians of rounds (spread). × is by the first row, the median of the ratios of each round. MB/s are of arguments alone.",
      "Any fault: 2f + 1 replicas, decided at f + 1 equal votes. Crashes: f + 1 replicas, decided at one vote.",
      "All replicas of a group share two cores here, or however many there are: where each has its own, further ones cost less.",
      "Commands are not signed yet, so that what signatures cost is not measured.",
    ],
    charts: chartsOf(variants),
  }
}

function chartsOf(variants: ReadonlyArray<Variant>): ReadonlyArray<Chart> {
  const groups = (figure: string, spreadFigure: string, factor: number): ReadonlyArray<BarGroup> => {
    const bars = variants.map((variant) => {
      const { name, figures } = variant.row(variants[0])
      const value = (figures[figure] ?? Number.NaN) * factor
      return { name: `${name} (${figures["replicas"]} replicas)`, value, spread: figures[spreadFigure] ?? 0 }
    })
    return [{ bars }]
  }
  const throughput = SIZES.map(({ name, argumentBytes, open }, i): Chart => ({
    title: `Throughput with arguments of ${name}, ${count(open)} calls open`,
    unit: i === 0 ? "calls per second" : "bytes per second",
    better: "more",
    scale: "linear",
    groups: groups(`${name}.perSecond`, `${name}.spread`, i === 0 ? 1 : argumentBytes),
  }))
  const latency: Chart = {
    title: "Latency of one call at a time with 16 B, p50",
    unit: "milliseconds",
    better: "less",
    scale: "linear",
    groups: groups("small.p50Ms", "small.p50Spread", 1),
  }
  return [...throughput, latency]
}

const VARIANT_NAMES = Object.keys(VARIANTS) as ReadonlyArray<VariantName> // Object.keys forgets their type

const COLUMNS: Table["columns"] = [
  { title: "replicas", figure: "replicas", format: count },
  { title: "p50 16 B", figure: "small.p50Ms", format: milliseconds },
  { title: "p99", figure: "small.p99Ms", format: milliseconds },
  { title: "p50 64 KiB", figure: "large.p50Ms", format: milliseconds },
  { title: "p99", figure: "large.p99Ms", format: milliseconds },
  ...SIZES.flatMap(({ name }) => [
    { title: `${name}/s`, figure: `${name}.perSecond`, format: count },
    { title: "", figure: `${name}.spread`, format: plusMinus },
    { title: "×", figure: `${name}.ratio`, format: ratio },
    { title: "", figure: `${name}.bytesPerSecond`, format: (value: number) => `${bytes(value)}/s` },
  ]),
]

/** What one round found of a variant. */
interface Round {
  readonly small: Burst
  readonly large: Burst
  /** As in SIZES. */
  readonly throughput: ReadonlyArray<Burst>
}

/** A group that is sent parcels. */
class Variant {
  readonly rounds: Array<Round> = []
  readonly #name: VariantName
  readonly #audit: Audit
  #content = ""

  private constructor(
    name: VariantName,
    sends: (content: () => string) => ReadonlyArray<() => Promise<number>>,
  ) {
    this.#name = name
    this.#audit = new Audit(sends(() => this.#content))
  }

  static async connect(name: VariantName, group: BenchGroup): Promise<Variant> {
    const client = await group.connect()
    const parcels = KEYS.map((key) => client.actor(parcelOf(VARIANTS[name]), key))
    return new Variant(name, (content) => parcels.map((parcel) => () => parcel.send(content())))
  }

  async measure(forMs: number): Promise<Round> {
    const [smallest, largest] = [SIZES[0], SIZES[2]]
    const small = await this.#send({ ...smallest, open: 1, forMs })
    const large = await this.#send({ ...largest, open: 1, forMs })
    const throughput: Array<Burst> = []
    for (const size of SIZES) throughput.push(await this.#send({ ...size, forMs }))
    return { small, large, throughput }
  }

  async check(): Promise<void> {
    this.#content = "x" // of all keys at once
    await this.#audit.check(this.#name)
  }

  row(first: Variant | undefined): Row {
    const middle = (figure: (round: Round) => number): number => median(this.rounds.map(figure))
    const perSecond = (of: Variant | undefined, size: number): ReadonlyArray<number> =>
      of?.rounds.map(({ throughput }) => throughput[size]?.perSecond ?? Number.NaN) ?? []
    const figures: Record<string, number> = {
      replicas: VARIANTS[this.#name].replicas,
      "small.p50Ms": middle(({ small }) => small.p50Ms),
      "small.p50Spread": spread(this.rounds.map(({ small }) => small.p50Ms)),
      "small.p99Ms": middle(({ small }) => small.p99Ms),
      "large.p50Ms": middle(({ large }) => large.p50Ms),
      "large.p99Ms": middle(({ large }) => large.p99Ms),
    }
    for (const [i, { name, argumentBytes }] of SIZES.entries()) {
      const found = perSecond(this, i)
      const base = perSecond(first, i)
      figures[`${name}.perSecond`] = median(found)
      figures[`${name}.spread`] = spread(found)
      figures[`${name}.bytesPerSecond`] = median(found) * argumentBytes
      if (first !== this)
        figures[`${name}.ratio`] = median(found.map((each, round) => each / (base[round] ?? Number.NaN)))
    }
    return { name: this.#name, figures }
  }

  #send(options: {
    readonly argumentBytes: number
    readonly open: number
    readonly forMs: number
  }): Promise<Burst> {
    this.#content = "x".repeat(options.argumentBytes)
    return callFor(options, (i) => this.#audit.add(i % KEYS.length))
  }
}
