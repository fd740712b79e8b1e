import { spawn } from "node:child_process"
import { once } from "node:events"
import { context, ROOT_CONTEXT, trace } from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto"
import {
  AlwaysOffSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace"
import { endWithUs, type Server, startServer } from "lockstep/develop"
import { callAll, latencies } from "./callers.ts"
import { MODE, Voted } from "./counter.ts"
import { cpuMs } from "./cpu.ts"
import { BenchGroup } from "./group.ts"
import { median, percentile, spread } from "./measure.ts"
import type { Scale } from "./scale.ts"
import { count, microseconds, milliseconds, plusMinus, type Row, type Table } from "./table.ts"

/** Callers of the rounds that tell of throughput: some, and as many as there is work for. */
const FEW = 64
const MANY = 4096
const OPEN = [FEW, MANY] as const
const KEYS = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
const SHARE = 0.01
/** Calls that a request makes, one after the other. */
const CALLS_OF_REQUEST = 10

/** Voted calls with and without OpenTelemetry in the caller and the replicas, in one run, in rounds that take turns. */
export async function measureTracing(scale: Scale): Promise<Table> {
  const rounds = scale === "quick" ? 3 : 15
  const work =
    scale === "quick"
      ? { calls: 300, [FEW]: 10_000, [MANY]: 100_000 }
      : { calls: 500, [FEW]: 40_000, [MANY]: 200_000 }
  await using server = await startServer()
  await using sink = await startSink()
  const start = (group: string, telemetry: Readonly<Record<string, string>>): Promise<BenchGroup> =>
    BenchGroup.start({
      server,
      group,
      module: "counter.ts",
      env: { [MODE]: "state machine", ...telemetry },
      checkpointEveryBatches: 1000,
      logBytesMax: 1024 ** 3,
    })
  await using plain = await start("plain", {})
  await using traced = await start("traced", {
    OTEL_EXPORTER_OTLP_ENDPOINT: sink.url,
    OTEL_METRICS_EXPORTER: "none",
    OTEL_LOGS_EXPORTER: "none",
  })
  const subjects = variants(plain, traced).map((variant) => new Subject(variant, server))
  for (let round = 0; round <= rounds; round++)
    for (const subject of subjects) {
      // the first one warms up, and counts for nothing
      await subject.measure(work, sink.url, round > 0 ? "counted" : "forgotten")
      process.stderr.write(".")
    }
  process.stderr.write("\n")
  const ratios = (of: Subject): ReadonlyArray<string> => {
    const by = subjects.find(({ variant: { name } }) => name === of.variant.by)
    return by === undefined ? [] : OPEN.map((open) => of.by(by, open))
  }
  return {
    title: "Tracing",
    settings: {
      rounds,
      calls: `${count(work.calls)} one at a time, ${count(work[FEW])} by ${count(FEW)} callers, ${count(work[MANY])} by ${count(MANY)}, over ${count(KEYS.length)} keys`,
      requests: `each makes ${count(CALLS_OF_REQUEST)} calls, one after the other, in the midst of a span of its own`,
    },
    columns: [
      { title: "p50", figure: "p50Ms", format: milliseconds },
      { title: "", figure: "p50Spread", format: plusMinus },
      ...OPEN.flatMap((open) => [
        { title: `calls/s, ${count(open)} open`, figure: `perSecond${open}`, format: count },
        { title: "", figure: `perSecond${open}Spread`, format: plusMinus },
        { title: "CPU: caller", figure: `callerUs${open}`, format: microseconds },
        { title: "replica", figure: `replicaUs${open}`, format: microseconds },
        { title: "all", figure: `allUs${open}`, format: microseconds },
        { title: "", figure: `allUs${open}Spread`, format: plusMinus },
      ]),
    ],
    rows: subjects.map((subject) => subject.row()),
    notes: [
      "Medians of rounds (spread). CPU is of a call: of its caller, of one replica, and of all processes but the receiver, which has one of its own and throws away what it gets",
      ...subjects.flatMap(ratios),
    ],
  }
}

/** One way to be traced. */
interface Variant {
  readonly name: string
  readonly group: BenchGroup
  /** Which of the callers' requests are sampled; where there is none, callers are in the midst of nothing. */
  readonly requests?: Sampler
  /** Which of the calls that are in no request are sampled; where there is none, calls are not traced. */
  readonly calls?: Sampler
  /** The one that it is compared with: the same program, whose calls are not traced. */
  readonly by?: string
}

function variants(plain: BenchGroup, traced: BenchGroup): ReadonlyArray<Variant> {
  const never = new AlwaysOffSampler()
  const some = new TraceIdRatioBasedSampler(SHARE)
  return [
    { name: "no SDK", group: plain },
    { name: "requests traced, none sampled", group: plain, requests: never },
    {
      name: "and their calls",
      group: traced,
      requests: never,
      calls: never,
      by: "requests traced, none sampled",
    },
    { name: "requests traced, 1 % sampled", group: plain, requests: some },
    {
      name: "and their calls, 1 % sampled",
      group: traced,
      requests: some,
      calls: never,
      by: "requests traced, 1 % sampled",
    },
    { name: "each call a root, none sampled", group: traced, calls: never, by: "no SDK" },
  ]
}

interface Work extends Readonly<Record<typeof FEW | typeof MANY, number>> {
  readonly calls: number
}

/** What one round found with so many open. CPU is microseconds of a call; undefined where there is no /proc. */
interface Found {
  readonly perSecond: number
  readonly callerUs: number | undefined
  readonly replicaUs: number | undefined
  readonly allUs: number | undefined
}

/** One way to be traced, and what was found of it. */
class Subject {
  readonly variant: Variant
  readonly #server: Server
  readonly #p50Ms: Array<number> = []
  readonly #found: Readonly<Record<typeof FEW | typeof MANY, Array<Found>>> = { [FEW]: [], [MANY]: [] }

  constructor(variant: Variant, server: Server) {
    this.variant = variant
    this.#server = server
  }

  async measure(work: Work, sinkUrl: string, round: "counted" | "forgotten"): Promise<void> {
    const client = await this.variant.group.connect()
    const counters = KEYS.map((key) => client.actor(Voted, key))
    await using sdk = register(this.variant, sinkUrl)
    const requests = { calls: CALLS_OF_REQUEST, within: sdk.within }
    const call = async (i: number): Promise<unknown> => counters[i % counters.length]?.add(1)
    // replicas that were idle meanwhile have given memory back: the one group is as long in getting it as the other
    await callAll({ calls: work[MANY], open: MANY, requests }, call)
    const sorted = (await latencies(work.calls, call)).toSorted((a, b) => a - b)
    if (round === "counted") this.#p50Ms.push(percentile(sorted, 0.5))
    for (const open of OPEN) {
      const before = this.#cpuMs()
      const tookMs = await callAll({ calls: work[open], open, requests }, call)
      const after = this.#cpuMs()
      const of = (name: keyof typeof before): number | undefined =>
        perCallUs(before[name], after[name], work[open])
      if (round === "counted")
        this.#found[open].push({
          perSecond: work[open] / (tookMs / 1000),
          callerUs: of("caller"),
          replicaUs: of("replica"),
          allUs: of("all"),
        })
    }
  }

  row(): Row {
    const figures: Record<string, number | undefined> = {
      p50Ms: median(this.#p50Ms),
      p50Spread: spread(this.#p50Ms),
    }
    for (const open of OPEN)
      for (const name of ["perSecond", "callerUs", "replicaUs", "allUs"] as const) {
        const values = this.#found[open].flatMap((found) => found[name] ?? [])
        if (values.length === 0) continue
        figures[`${name}${open}`] = median(values)
        figures[`${name}${open}Spread`] = spread(values)
      }
    return { name: this.variant.name, figures }
  }

  /** Of rounds that ran side by side. */
  by(other: Subject, open: typeof FEW | typeof MANY): string {
    const ratio = (name: "perSecond" | "allUs"): string => {
      const ratios = this.#found[open].flatMap((found, round) => {
        const [mine, others] = [found[name], other.#found[open][round]?.[name]]
        return mine === undefined || others === undefined ? [] : mine / others
      })
      return ratios.length === 0
        ? "–"
        : `${median(ratios).toFixed(3)} (±${(spread(ratios) * 100).toFixed(1)} %)`
    }
    return `${this.variant.name}, by ${other.variant.name}, ${count(open)} open: throughput ${ratio("perSecond")}, CPU of all ${ratio("allUs")}`
  }

  /** Of all its processes until now: the caller, one replica, and all of them with the server. */
  #cpuMs(): Readonly<Record<"caller" | "replica" | "all", number | undefined>> {
    const { group } = this.variant
    const caller = cpuMs(process.pid)
    const replicas = group.names.map((name) => cpuMs(group.replica(name).pid))
    const all = [caller, ...replicas, cpuMs(this.#server.pid)]
    return { caller, replica: mean(replicas), all: sum(all) }
  }
}

function perCallUs(
  beforeMs: number | undefined,
  afterMs: number | undefined,
  calls: number,
): number | undefined {
  return beforeMs === undefined || afterMs === undefined ? undefined : ((afterMs - beforeMs) * 1000) / calls
}

function sum(values: ReadonlyArray<number | undefined>): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length < values.length ? undefined : known.reduce((total, value) => total + value, 0)
}

function mean(values: ReadonlyArray<number | undefined>): number | undefined {
  const total = sum(values)
  return total === undefined ? undefined : total / values.length
}

/** An SDK for this process, until it is disposed of; none where nothing is traced. */
function register({ requests, calls }: Variant, url: string): Sdk {
  if (requests === undefined && calls === undefined)
    return { within: (run) => run(), [Symbol.asyncDispose]: () => Promise.resolve() }
  const spanProcessors = [
    new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: `${url}/v1/traces` }) }),
  ]
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  const provider = new TracerProvider({
    sampler: new ParentBasedSampler({ root: requests ?? calls ?? new AlwaysOffSampler() }),
    spanProcessors,
  })
  if (calls !== undefined) trace.setGlobalTracerProvider(provider)
  const tracer = provider.getTracer("bench")
  return {
    async within(run) {
      if (requests === undefined) return run()
      const span = tracer.startSpan("a request", {}, ROOT_CONTEXT)
      await context.with(trace.setSpan(ROOT_CONTEXT, span), run)
      span.end()
    },
    async [Symbol.asyncDispose]() {
      trace.disable()
      context.disable()
      await provider.shutdown()
    },
  }
}

interface Sdk extends AsyncDisposable {
  /** Runs a request in the midst of what this variant has requests in. */
  readonly within: (run: () => Promise<void>) => Promise<void>
}

/** Takes what is exported. */
async function startSink(): Promise<AsyncDisposable & { readonly url: string }> {
  const child = spawn(process.execPath, [...process.execArgv, new URL("sink.ts", import.meta.url).pathname], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  endWithUs(child)
  const [url] = await once(child.stdout, "data")
  return {
    url: String(url).trim(),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL")
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit")
    },
  }
}
