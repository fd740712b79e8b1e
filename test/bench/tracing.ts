import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
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
import { startServer } from "lockstep/develop"
import { callAll, latencies } from "./callers.ts"
import { MODE, Voted } from "./counter.ts"
import { BenchGroup } from "./group.ts"
import { median, percentile, spread } from "./measure.ts"
import type { Scale } from "./scale.ts"
import { count, milliseconds, plusMinus, type Table } from "./table.ts"

/** Callers of the rounds that tell of throughput: some, and as many as there is work for. */
const FEW = 64
const MANY = 4096
const KEYS = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
const SHARE = 0.01
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
  const never = new AlwaysOffSampler()
  const variants: ReadonlyArray<Variant> = [
    { name: "no SDK", group: plain },
    { name: "requests traced, calls not", group: plain, requests: never, calls: undefined },
    { name: "calls in requests, none sampled", group: traced, requests: never, calls: never },
    {
      name: "calls in requests, 1 % sampled",
      group: traced,
      requests: new TraceIdRatioBasedSampler(SHARE),
      calls: never,
    },
    { name: "each call a root, none sampled", group: traced, calls: never },
  ]
  const found = variants.map((variant) => ({
    variant,
    p50Ms: new Array<number>(),
    [FEW]: new Array<number>(),
    [MANY]: new Array<number>(),
  }))
  for (let round = 0; round <= rounds; round++)
    for (const { variant, p50Ms, ...perSecond } of found) {
      const client = await variant.group.connect()
      const counters = KEYS.map((key) => client.actor(Voted, key))
      await using sdk = register(variant, sink.url)
      const call = async (i: number): Promise<unknown> => counters[i % counters.length]?.add(1)
      // replicas that were idle meanwhile have given memory back: the one group is as long in getting it as the other
      await callAll({ calls: work[MANY], open: MANY, within: sdk.within }, call)
      const sorted = (await latencies(work.calls, call)).toSorted((a, b) => a - b)
      if (round > 0) p50Ms.push(percentile(sorted, 0.5))
      for (const open of [FEW, MANY] as const) {
        const tookMs = await callAll({ calls: work[open], open, within: sdk.within }, call)
        // the first one warms up, and counts for nothing
        if (round > 0) perSecond[open].push(work[open] / (tookMs / 1000))
      }
      process.stderr.write(".")
    }
  process.stderr.write("\n")
  /** Of rounds that ran side by side. */
  const ratio = (open: typeof FEW | typeof MANY, of: number, to: number): string => {
    const ratios = found[of]?.[open].map((each, round) => each / (found[to]?.[open][round] ?? NaN)) ?? []
    return `${median(ratios).toFixed(3)} (±${(spread(ratios) * 100).toFixed(1)} %)`
  }
  const ratios = (of: number, to: number): string =>
    `throughput ${ratio(FEW, of, to)} with ${FEW} callers, ${ratio(MANY, of, to)} with ${count(MANY)}`
  return {
    title: "Tracing",
    settings: {
      rounds,
      calls: `${count(work.calls)} one at a time, ${count(work[FEW])} by ${count(FEW)} callers, ${count(work[MANY])} by ${count(MANY)}, over ${count(KEYS.length)} keys`,
    },
    columns: [
      { title: "p50", figure: "p50Ms", format: milliseconds },
      { title: "", figure: "p50Spread", format: plusMinus },
      { title: `commands/s, ${FEW} open`, figure: "fewPerSecond", format: count },
      { title: "", figure: "fewPerSecondSpread", format: plusMinus },
      { title: `commands/s, ${count(MANY)} open`, figure: "perSecond", format: count },
      { title: "", figure: "perSecondSpread", format: plusMinus },
    ],
    rows: found.map(({ variant: { name }, p50Ms, ...perSecond }) => ({
      name,
      figures: {
        p50Ms: median(p50Ms),
        p50Spread: spread(p50Ms),
        fewPerSecond: median(perSecond[FEW]),
        fewPerSecondSpread: spread(perSecond[FEW]),
        perSecond: median(perSecond[MANY]),
        perSecondSpread: spread(perSecond[MANY]),
      },
    })),
    notes: [
      "medians of rounds (spread); spans go to a receiver in the bench's own process, which throws them away",
      "in requests: each caller is in the midst of a request, which has a span of its own, and makes its calls in there",
      ...variants.slice(1).map(({ name }, i) => `${name}, by no SDK: ${ratios(i + 1, 0)}`),
      ...variants
        .slice(2)
        .map(({ name }, i) => `${name}, by requests traced, calls not: ${ratios(i + 2, 1)}`),
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
  readonly calls?: Sampler | undefined
}

/** An SDK for this process, until it is disposed of; none where nothing is traced. */
function register({ requests, calls }: Variant, url: string): Sdk {
  if (requests === undefined && calls === undefined)
    return { within: (_, run) => run(), [Symbol.asyncDispose]: () => Promise.resolve() }
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
    within: (_, run) =>
      requests === undefined
        ? run()
        : context.with(trace.setSpan(ROOT_CONTEXT, tracer.startSpan("a request")), run),
    async [Symbol.asyncDispose]() {
      trace.disable()
      context.disable()
      await provider.shutdown()
    },
  }
}

interface Sdk extends AsyncDisposable {
  /** Runs a caller in the midst of what this variant has callers in. */
  readonly within: (caller: number, run: () => Promise<void>) => Promise<void>
}

/** Takes what is exported, and throws it away. */
async function startSink(): Promise<AsyncDisposable & { readonly url: string }> {
  const http = createServer((request, response) => {
    request
      .resume()
      .on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"))
  })
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, // it listens on TCP
    async [Symbol.asyncDispose]() {
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
}
