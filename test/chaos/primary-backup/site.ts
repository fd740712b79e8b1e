import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type PartitionStatus, ReplicaProcess } from "@lockstep/replica-service/process"
import { startCluster, startServer } from "@lockstep/nats"
import { type Client, connect, createGroup } from "lockstep"
import type { Random } from "@lockstep/testing"
import { OPEN, TcpProxy } from "../proxy.ts"
import { SOURCES, statusOf } from "../site.ts"
import { Fatal, within } from "../waiting.ts"
import type { Replication } from "./actors.ts"

export interface SiteOptions {
  readonly replication: Replication
  /** Servers that hold the log: one, or three with three copies. */
  readonly servers: 1 | 3
  /** How long a call of each client may take, milliseconds: a client each. */
  readonly deadlinesMs: ReadonlyArray<number>
  readonly random: Random
}

/** A replica that says of itself that it is the primary, and what it says beside. */
export interface Primary {
  readonly process: ReplicaProcess
  readonly reign: NonNullable<PartitionStatus["reign"]>
}

export const NAMES = ["r0", "r1", "r2"] as const
/** How long the group may take until it is as good as before. */
const RECOVERY = { timeMsMax: 30_000, everyMs: 25 }
/** So often that replicas which were away fetch checkpoints, too. */
const CHECKPOINT_EVERY_BATCHES = 200
const SINGLE_COPY = "single-copy-log"
const LOG = { maxBytes: 16 * 1024 ** 2, maxEntryBytes: 128 * 1024 }
const TRUNCATE_MARGIN_ENTRIES = 200
/** By how many positions a backup that keeps up may be behind at a moment. One that was not heard of is behind by all. */
const LAG_MAX = 100

/** Servers, three replicas with a primary as processes with folders, and clients. */
export class Site implements AsyncDisposable {
  readonly urls: ReadonlyArray<string>
  readonly replicas: ReadonlyArray<ReplicaProcess>
  readonly clients: ReadonlyArray<Client>
  /** By replica: to each server. */
  readonly #lines: ReadonlyMap<string, ReadonlyArray<TcpProxy>>
  #stack = new AsyncDisposableStack()

  private constructor(
    parts: Pick<Site, "urls" | "replicas" | "clients"> & {
      readonly lines: ReadonlyMap<string, ReadonlyArray<TcpProxy>>
    },
  ) {
    this.#lines = parts.lines
    this.urls = parts.urls
    this.replicas = parts.replicas
    this.clients = parts.clients
  }

  static async start({ replication, servers: nodes, deadlinesMs, random }: SiteOptions): Promise<Site> {
    await using stack = new AsyncDisposableStack()
    const urls = nodes === 1 ? [stack.use(await startServer()).url] : stack.use(await startCluster()).urls
    const directory = await mkdtemp(join(tmpdir(), "lockstep-chaos-"))
    stack.defer(() => rm(directory, { recursive: true, force: true }))
    const checkpointEveryBatches = CHECKPOINT_EVERY_BATCHES
    const log = { ...LOG, copies: nodes }
    await createGroup({ servers: urls, replicas: NAMES, checkpointEveryBatches, log, accept: [SINGLE_COPY] })
    const lines = new Map<string, ReadonlyArray<TcpProxy>>()
    for (const name of NAMES) {
      const proxies = urls.map((url) => TcpProxy.listen(Number(new URL(url).port), random))
      lines.set(
        name,
        (await Promise.all(proxies)).map((proxy) => stack.use(proxy)),
      )
    }
    const replicas = NAMES.map((replica) =>
      stack.use(
        new ReplicaProcess(
          {
            servers: (lines.get(replica) ?? []).map(({ port }) => `nats://127.0.0.1:${port}`).join(","),
            replica,
            module: MODULE,
            dataDir: join(directory, replica),
            truncateMarginEntries: TRUNCATE_MARGIN_ENTRIES,
            accept: SINGLE_COPY,
          },
          { ...SOURCES, NODE_ENV: "production", CHAOS_REPLICATION: replication },
        ),
      ),
    )
    await Promise.all(replicas.map((replica) => replica.start()))
    const clients: Array<Client> = []
    for (const deadlineMs of deadlinesMs)
      clients.push(stack.use(await connect({ servers: urls, limits: { deadlineMs } })))
    const site = new Site({ urls, replicas, clients, lines })
    await site.inSync()
    site.#stack = stack.move()
    return site
  }

  /** Resolves with the primary when all replicas are in sync, in the lives that they live now. */
  async inSync(): Promise<Primary> {
    return within(
      "all replicas are in sync",
      async () => {
        const statuses = await Promise.all(this.replicas.map((replica) => this.#status(replica)))
        const reigns = statuses.flatMap(({ process, status }) =>
          status?.reign === undefined ? [] : [{ process, reign: status.reign }],
        )
        const primary = reigns.find(({ process, reign }) => reign.master === process.replica && reign.leased)
        const told = JSON.stringify(reigns.map(({ process, reign }) => ({ of: process.replica, ...reign })))
        if (primary === undefined) throw new Error(`there is no primary: ${told}`)
        const { epoch, inSync, lag } = primary.reign
        const isWhole =
          inSync.length === NAMES.length &&
          Object.values(lag).every((positions) => positions <= LAG_MAX) &&
          reigns.length === NAMES.length &&
          reigns.every(({ reign }) => reign.epoch === epoch)
        if (!isWhole) throw new Error(told)
        return primary
      },
      RECOVERY,
    )
  }

  /** From now on this replica hears nobody; it is heard. */
  deafen(replica: string): void {
    for (const line of this.#lines.get(replica) ?? []) line.set("back", { ...OPEN, silent: true })
  }

  /** It hears again, over new connections: what was under way to it is lost. */
  reconnect(replica: string): void {
    for (const line of this.#lines.get(replica) ?? []) {
      line.reset()
      line.set("back", OPEN)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }

  /** Rejects for good where it ended or stopped by itself. */
  async #status(process: ReplicaProcess) {
    if (!process.running) throw new Fatal(`${process.replica} ended by itself: ${lastWords(process)}`)
    const status = process.health === undefined ? undefined : await statusOf(process)
    const failure = process.log.findLast(({ event }) => event === "failed")
    if (failure !== undefined) throw new Fatal(`${process.replica} failed: ${failure.error}`)
    if (status?.halted !== undefined)
      throw new Fatal(`${process.replica} halted: ${status.halted.reason}: ${status.halted.detail}`)
    return { process, status }
  }
}

function lastWords({ log }: ReplicaProcess): string {
  return JSON.stringify(log.slice(-3))
}

const MODULE = new URL("actors.ts", import.meta.url).pathname
