import { ReplicaProcess } from "@lockstep/replica-service/process"
import { context, trace } from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace"
import { type Client, connect, handOver, OutcomeUnknown } from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { Receiver } from "../telemetry/receiver.ts"
import { OnceLedger } from "./once-ledger.ts"

vi.setConfig({ testTimeout: 90_000 })
const soon = { timeout: 30_000, interval: 20 }
const replicas = ["r0", "r1", "r2"]
const exporter = new InMemorySpanExporter()
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
const contexts = new AsyncLocalStorageContextManager()
beforeAll(() => {
  context.setGlobalContextManager(contexts.enable())
  trace.setGlobalTracerProvider(provider)
})
beforeEach(() => exporter.reset())
afterAll(async () => {
  trace.disable()
  context.disable()
  await provider.shutdown()
})

/** Three replica processes with a disk each, which export their spans, and a caller. */
class Site implements AsyncDisposable {
  readonly server: Server
  readonly receiver: Receiver
  readonly processes: ReadonlyArray<ReplicaProcess>
  readonly client: Client
  readonly #root: string

  private constructor(parts: Pick<Site, "server" | "receiver" | "processes" | "client">, root: string) {
    this.server = parts.server
    this.receiver = parts.receiver
    this.processes = parts.processes
    this.client = parts.client
    this.#root = root
  }

  static async start(replication: "synchronous" | "asynchronous"): Promise<Site> {
    const [server, receiver] = [await startServer(), await Receiver.start()]
    const root = mkdtempSync(join(tmpdir(), "lockstep-failover-"))
    const env = {
      NODE_OPTIONS: `--import ${new URL("../../infra/scripts/ts-hooks.mjs", import.meta.url).href}`,
      REPLICATION: replication,
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_BSP_SCHEDULE_DELAY: "20",
      OTEL_METRICS_EXPORTER: "none",
      OTEL_LOGS_EXPORTER: "none",
    }
    const module = new URL("once-ledger.ts", import.meta.url).pathname
    const settings = { servers: server.url, module, createReplicas: replicas.join(), determinism: "guarded" }
    const processes = replicas.map(
      (replica) => new ReplicaProcess({ ...settings, replica, dataDir: join(root, replica) }, env),
    )
    await Promise.all(processes.map((process) => process.start()))
    const client = await connect({ servers: server.url, limits: { deadlineMs: 20_000 } })
    const site = new Site({ server, receiver, processes, client }, root)
    await site.inSync(3)
    return site
  }

  /** Resolves with the master, when it says that so many replicas are in sync. */
  async inSync(size: number): Promise<ReplicaProcess> {
    let master: ReplicaProcess | undefined
    const state = async () => {
      for (const process of this.processes.filter(({ running }) => running)) {
        const [status] = await process.status().catch(() => [])
        if (status?.reign?.leased !== true || status.reign.master !== process.replica) continue
        master = process
        return status.reign.inSync.length
      }
      return 0
    }
    await expect.poll(state, soon).toBe(size)
    if (master === undefined) throw new Error("there is no master")
    return master
  }

  named(name: string): ReadonlyArray<Told> {
    return this.receiver.spans
      .filter(({ span }) => span.name === name)
      .map(({ instance, span }) => ({
        instance,
        trace: span.traceId,
        id: span.spanId,
        parent: span.parentSpanId ?? "",
        attributes: new Map(span.attributes.map(({ key, value }) => [key, Object.values(value)[0]])),
      }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close()
    await Promise.all(this.processes.map((process) => process.kill()))
    await this.receiver[Symbol.asyncDispose]()
    await this.server.stop()
    rmSync(this.#root, { recursive: true, force: true })
  }
}

const compare = (a: string, b: string): number => a.localeCompare(b)

interface Told {
  readonly instance: string
  readonly trace: string
  readonly id: string
  readonly parent: string
  readonly attributes: ReadonlyMap<string, unknown>
}

/** Callers that record entry after entry until they are stopped; what nobody knows is executed again, as its caller wants. */
class Callers {
  readonly answered: Array<string> = []
  readonly #running: Promise<ReadonlyArray<void>>
  #isStopped = false

  constructor(client: Client) {
    this.#running = Promise.all(Array.from({ length: 6 }, (_, i) => this.#call(client, `key-${i}`)))
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#running
  }

  async #call(client: Client, key: string): Promise<void> {
    const ledger = client.actor(OnceLedger, key)
    for (let i = 0; !this.#isStopped; i++) {
      const id = `${key}/${i}`
      await ledger.record(id).catch((error: unknown) => {
        if (error instanceof OutcomeUnknown) return client.retry(error)
        throw error
      })
      this.answered.push(id)
    }
  }
}

const sentBy = (): ReadonlyMap<string, ReadableSpan> =>
  new Map(
    exporter
      .getFinishedSpans()
      .filter(({ name }) => name === "send ask.main.0")
      .map((span) => [span.spanContext().spanId, span]),
  )

/** Nothing was told twice, and everything hangs where it belongs. Returns what was executed, by what was sent. */
function checkTree(site: Site): ReadonlyMap<string, ReadonlyArray<Told>> {
  const all = site.receiver.spans.map(({ span }) => span.spanId)
  expect(new Set(all).size).toBe(all.length)
  const sent = sentBy()
  const processed = site.named("process ask.main.0")
  expect(processed.filter(({ parent, trace: id }) => sent.get(parent)?.spanContext().traceId !== id)).toEqual(
    [],
  )
  const byReplica = processed.map(({ instance, parent }) => `${instance} ${parent}`)
  expect(new Set(byReplica).size).toBe(byReplica.length)
  const executed = new Map(processed.map((span) => [span.id, span]))
  const below = [...site.named("replicate"), ...site.named("apply test/OnceLedger/record")]
  const astray = below.filter(({ parent, trace: id, instance }) => {
    const above = executed.get(parent)
    // what its process had not exported when it was killed is lost
    return above !== undefined && (above.trace !== id || above.instance !== instance)
  })
  expect(astray).toEqual([])
  const toBackup = site.named("replicate").map(({ parent, attributes }) => {
    return `${parent} ${String(attributes.get("lockstep.backup"))}`
  })
  expect(new Set(toBackup).size).toBe(toBackup.length)
  return Map.groupBy(processed, ({ parent }) => parent)
}

describe.each(["synchronous", "asynchronous"] as const)("replica processes, %s", (replication) => {
  it("export each call once, by whoever executed it: through a kill, a restart and a hand-over", async () => {
    await using site = await Site.start(replication)
    const callers = new Callers(site.client)
    const first = await site.inSync(3)
    const progress = async (more: number) => {
      const goal = callers.answered.length + more
      await expect.poll(() => callers.answered.length, soon).toBeGreaterThan(goal)
    }
    await progress(60)
    await first.kill()
    await progress(60)
    await first.start()
    const second = await site.inSync(3)
    expect(second.replica).not.toBe(first.replica)
    const backup = site.processes.find(
      ({ replica }) => replica !== first.replica && replica !== second.replica,
    )
    await backup?.kill()
    await progress(60)
    await backup?.start()
    await site.inSync(3)
    await handOver({ servers: site.server.url, to: first.replica })
    await progress(60)
    await callers.stop()
    await site.inSync(3)
    // by the time that the last one is told of whole, all before it was exported
    await site.client.actor(OnceLedger, "last").record("last")
    const last = [...sentBy().keys()].at(-1)
    const lastOf = () => site.named("process ask.main.0").find(({ parent }) => parent === last)
    await expect.poll(() => lastOf()?.instance, soon).toBe(first.replica)
    const backups = () =>
      site
        .named("replicate")
        .filter(({ parent }) => parent === lastOf()?.id)
        .map(({ attributes }) => String(attributes.get("lockstep.backup")))
    const others = replicas.filter((replica) => replica !== first.replica)
    await expect.poll(() => backups().toSorted(compare), soon).toEqual(others)
    const executed = checkTree(site)
    expect([...executed.keys()].length).toBeGreaterThan(150)
    const failovers = site.named("failover")
    expect(failovers.map(({ instance, parent }) => [instance, parent])).toEqual([[second.replica, ""]])
    expect(failovers[0]?.attributes.get("lockstep.master.before")).toBe(first.replica)
    // calls that waited for the backup that was killed say so
    const unheld = site.named("replicate").filter(({ attributes }) => attributes.get("error.type") === "late")
    expect(unheld.map(({ attributes }) => attributes.get("lockstep.backup"))).toContain(backup?.replica)
  })
})
