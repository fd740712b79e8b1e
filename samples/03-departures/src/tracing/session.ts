import { mkdir, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { diag, DiagLogLevel } from "@opentelemetry/api"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { NodeSDK } from "@opentelemetry/sdk-node"
import { BatchSpanProcessor, ParentBasedSampler } from "@opentelemetry/sdk-trace"
import { choose } from "./chosen.ts"
import { pageOf } from "./page.ts"
import { Receiver } from "./receiver.ts"
import { Sampling, type Sought } from "./sampling.ts"

/** Where the traces of a run are. */
export interface TraceFiles {
  readonly spans: string
  readonly page: string
}

/** The tracing of one run. It ends after the replicas, which tell the last of what they did when they end. */
export interface Session {
  /** A call of this kind is wanted for the page; from now on, until the next phase. */
  seek(sought: Sought | undefined): void
  /** A replica was dead from then to then, milliseconds since 1970. */
  outage(replica: string, fromMs: number, untilMs: number): void
  end(): Promise<TraceFiles | undefined>
}

const ignore = (): void => undefined

/** Exports to where the standard environment variables say. The replicas do so by themselves. */
export function exportToEndpoint(env: NodeJS.ProcessEnv): Session {
  const isSet = [
    env["OTEL_EXPORTER_OTLP_ENDPOINT"],
    env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"],
    env["OTEL_TRACES_EXPORTER"],
  ].some((value) => value !== undefined && value !== "" && value !== "none")
  if (!isSet)
    throw new Error(
      "--trace exports spans to the endpoint that OTEL_EXPORTER_OTLP_ENDPOINT names, and it is not set. Set it, for example to http://127.0.0.1:4318; or use --trace-out DIR, which needs no server.",
    )
  // an export that fails while the run goes on is told to the logger, and to nobody else
  let lost: string | undefined
  const error = (text: string): void => void (lost ??= /"message":"([^"]*)"/.exec(text)?.[1] ?? text)
  diag.setLogger({ error, warn: ignore, info: ignore, debug: ignore, verbose: ignore }, DiagLogLevel.ERROR)
  const sampling = new Sampling()
  const stated = env["OTEL_TRACES_SAMPLER"] ?? ""
  const sdk = new NodeSDK({
    serviceName: SERVICE,
    ...(stated === "" ? { sampler: new ParentBasedSampler({ root: sampling }) } : {}),
  })
  sdk.start()
  return {
    // what was found is known to whoever receives the spans, and not here
    seek: () => undefined,
    outage: () => undefined,
    end: async () => {
      try {
        await sdk.shutdown()
      } catch (cause) {
        lost ??= cause instanceof Error ? cause.message : String(cause)
      }
      // what the run showed is not lost with its spans
      if (lost !== undefined) process.stderr.write(`  not all spans were exported: ${lost}\n`)
      return undefined
    },
  }
}

/** Receives the spans itself, and writes them and a page about three calls into a folder. */
export async function writeInto(folder: string, env: NodeJS.ProcessEnv): Promise<Session> {
  const directory = resolve(folder)
  await mkdir(directory, { recursive: true })
  const receiver = await Receiver.start()
  // the replicas inherit them; whatever was set for another place is not meant for this one
  for (const name of Object.keys(env)) if (name.startsWith("OTEL_")) delete env[name]
  Object.assign(env, {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_METRICS_EXPORTER: "none",
    OTEL_LOGS_EXPORTER: "none",
    // a replica that is killed loses what it has not exported yet
    OTEL_BSP_SCHEDULE_DELAY: `${QUEUE.scheduledDelayMillis}`,
    OTEL_BSP_MAX_QUEUE_SIZE: `${QUEUE.maxQueueSize}`,
  })
  const sampling = new Sampling()
  const exporter = new OTLPTraceExporter({ url: `${receiver.url}/v1/traces` })
  const sdk = new NodeSDK({
    serviceName: SERVICE,
    sampler: new ParentBasedSampler({ root: sampling }),
    spanProcessors: [sampling, new BatchSpanProcessor({ exporter, ...QUEUE })],
  })
  sdk.start()
  let outage = { replica: "", fromMs: 0, untilMs: 0 }
  return {
    seek: (sought) => sampling.seek(sought),
    outage: (replica, fromMs, untilMs) => void (outage = { replica, fromMs, untilMs }),
    end: async () => {
      await sdk.shutdown()
      await receiver.stop()
      const { document } = receiver
      const files = { spans: join(directory, "spans.json"), page: join(directory, "trace.html") }
      await writeFile(files.spans, `${JSON.stringify(document)}\n`)
      await writeFile(files.page, pageOf(choose(document.resourceSpans, outage), sampling))
      return files
    },
  }
}

const SERVICE = "departures"
const QUEUE = { scheduledDelayMillis: 50, maxQueueSize: 32_768 }
