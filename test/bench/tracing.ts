import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { context, type Context, ROOT_CONTEXT, trace } from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
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

const IN_FLIGHT = 4096
const KEYS = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
const SHARE = 0.01
/** Calls are spread over so many requests that somebody else has made of this program. */
const REQUESTS = 10_000

/** Voted calls with and without OpenTelemetry in the caller and the replicas, in one run, in rounds that take turns. */
export async function measureTracing(scale: Scale): Promise<Table> {
  const rounds = scale === "quick" ? 2 : 7
  const work = { calls: scale === "quick" ? 300 : 1000, commands: scale === "quick" ? 100_000 : 400_000 }
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
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_METRICS_EXPORTER: "none",
    OTEL_LOGS_EXPORTER: "none",
  })
  const variants = [
    { name: "no SDK", group: plain, sampler: undefined, requests: 0 },
    {
      name: "below requests, none sampled",
      group: traced,
      sampler: new AlwaysOffSampler(),
      requests: REQUESTS,
    },
    {
      name: "below requests, 1 % sampled",
      group: traced,
      sampler: new TraceIdRatioBasedSampler(SHARE),
      requests: REQUESTS,
    },
    { name: "each a root, none sampled", group: traced, sampler: new AlwaysOffSampler(), requests: 0 },
  ].map((variant) => Object.assign(variant, { p50Ms: new Array<number>(), perSecond: new Array<number>() }))
  for (let round = 0; round <= rounds; round++)
    for (const { group, sampler, requests, p50Ms, perSecond } of variants) {
      const client = await group.connect()
      const counters = KEYS.map((key) => client.actor(Voted, key))
      await using sdk = register(sampler, sink.url)
      const above = sdk.requests(requests)
      const call = async (i: number): Promise<unknown> => {
        const counter = counters[i % counters.length]
        const request = above[i % above.length]
        return request === undefined ? counter?.add(1) : context.with(request, () => counter?.add(1))
      }
      const sorted = (await latencies(work.calls, call)).toSorted((a, b) => a - b)
      const tookMs = await callAll({ calls: work.commands, open: IN_FLIGHT }, call)
      process.stderr.write(".")
      if (round === 0) continue // it warms up, and counts for nothing
      p50Ms.push(percentile(sorted, 0.5))
      perSecond.push(work.commands / (tookMs / 1000))
    }
  process.stderr.write("\n")
  const [{ perSecond: bare } = { perSecond: [] }] = variants
  return {
    title: "Tracing",
    settings: {
      rounds,
      calls: `${count(work.calls)} one at a time, then ${count(work.commands)} with ${count(IN_FLIGHT)} open, over ${count(KEYS.length)} keys`,
    },
    columns: [
      { title: "p50", figure: "p50Ms", format: milliseconds },
      { title: "", figure: "p50Spread", format: plusMinus },
      { title: "commands/s", figure: "perSecond", format: count },
      { title: "", figure: "perSecondSpread", format: plusMinus },
    ],
    rows: variants.map(({ name, p50Ms, perSecond }) => ({
      name,
      figures: {
        p50Ms: median(p50Ms),
        p50Spread: spread(p50Ms),
        perSecond: median(perSecond),
        perSecondSpread: spread(perSecond),
      },
    })),
    notes: [
      "medians of rounds (spread); spans go to a receiver in the bench's own process, which throws them away",
      ...variants
        .slice(1)
        .map(
          ({ name, perSecond }) =>
            `${name}: throughput ${(median(perSecond) / median(bare)).toFixed(3)} × no SDK`,
        ),
    ],
  }
}

/** An SDK for this process, until it is disposed of; none without a sampler. */
function register(sampler: Sampler | undefined, url: string): Sdk {
  if (sampler === undefined) return { requests: () => [], [Symbol.asyncDispose]: () => Promise.resolve() }
  const exporter = new OTLPTraceExporter({ url: `${url}/v1/traces` })
  const provider = new TracerProvider({
    sampler: new ParentBasedSampler({ root: sampler }),
    spanProcessors: [new BatchSpanProcessor({ exporter })],
  })
  trace.setGlobalTracerProvider(provider)
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  const tracer = provider.getTracer("bench")
  return {
    requests: (requests) =>
      Array.from({ length: requests }, () => trace.setSpan(ROOT_CONTEXT, tracer.startSpan("a request"))),
    async [Symbol.asyncDispose]() {
      trace.disable()
      context.disable()
      await provider.shutdown()
    },
  }
}

interface Sdk extends AsyncDisposable {
  /** What callers are in the midst of: so many requests, each sampled or not. */
  requests(count: number): ReadonlyArray<Context>
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
