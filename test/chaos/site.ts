import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { type PartitionStatus, ReplicaProcess } from "@lockstep/replica-service/process"
import type { Random } from "@lockstep/testing"
import { jetstreamManager } from "@nats-io/jetstream"
import { connect as connectNats, type NatsConnection } from "@nats-io/transport-node"
import { type Client, connect, createGroup } from "lockstep"
import { faultsMax, type Lie } from "./actors.ts"
import { LogWatch } from "./log-watch.ts"
import { Network } from "./network.ts"
import { type CopyKind, ReplicaStore } from "./replica-store.ts"
import { as, SERVERS, startServers, type StoredServer } from "./servers.ts"
import { Fatal, within } from "./waiting.ts"

export interface SiteOptions {
  /** How the build of the last replica is wrong. */
  readonly lie: Lie | undefined
  /** How long a call of each client may take, milliseconds: a client each. */
  readonly deadlinesMs: ReadonlyArray<number>
  readonly random: Random
}

/** How long a replica may take until it is as good as before. */
const RECOVERY = { timeMsMax: 90_000 }
/** And how long servers may: JetStream has catch-ups that end after more than a minute, while the others serve. */
const SERVERS_RECOVERY_MS_MAX = 240_000
const STREAM = "LOG_main_0"
/**
 * Room for so much that the log must be truncated all the time. JetStream makes blocks of a quarter of it: small ones, so that what is
 * left of the log is in more than one.
 */
const log = { copies: 3, maxBytes: 2 * 1024 ** 2, maxEntryBytes: 128 * 1024 } as const
const CHECKPOINT_EVERY_BATCHES = 200
/** Some seconds of entries: a replica that was away for longer fetches a checkpoint. */
const TRUNCATE_MARGIN_ENTRIES = 2000

/** Three servers in the production configuration, the replicas as processes, and clients; the network is ours. */
export class Site implements AsyncDisposable {
  readonly network: Network
  readonly servers: ReadonlyArray<StoredServer>
  readonly replicas: ReadonlyArray<ReplicaProcess>
  readonly clients: ReadonlyArray<Client>
  /** The replica that lies, if one does. */
  readonly liar: string | undefined
  /** How long the log is, and was. */
  readonly logWatch: LogWatch
  /** How often correct replicas were started again as an operator does it, by what had stopped them. */
  readonly restarts = new Map<string, number>()
  /** How often the liar was started again, which halts when it finds itself outvoted: it is to lie throughout. */
  liarRestarts = 0
  readonly #stores: ReadonlyMap<ReplicaProcess, ReplicaStore>
  /** It sees the servers as they are: its connections do not go through the network. */
  readonly #referee: NatsConnection
  #stack = new AsyncDisposableStack()

  private constructor(
    parts: Pick<Site, "network" | "servers" | "replicas" | "clients" | "liar"> & {
      readonly referee: NatsConnection
      readonly stores: ReadonlyMap<ReplicaProcess, ReplicaStore>
    },
  ) {
    this.network = parts.network
    this.servers = parts.servers
    this.replicas = parts.replicas
    this.clients = parts.clients
    this.liar = parts.liar
    this.#referee = parts.referee
    this.#stores = parts.stores
    this.logWatch = new LogWatch(parts.referee, STREAM)
  }

  static async start({ lie, deadlinesMs, random }: SiteOptions): Promise<Site> {
    await using stack = new AsyncDisposableStack()
    const names = Array.from({ length: 2 * faultsMax + 1 }, (_, i) => `r${i}`)
    const liar = lie === undefined ? undefined : names.at(-1)
    const parties = [...names, ...deadlinesMs.map((_, i) => `client-${i}`)]
    const network = stack.use(await Network.open(SERVERS, parties, random))
    const directory = await mkdtemp(join(tmpdir(), "lockstep-chaos-"))
    stack.defer(() => rm(directory, { recursive: true, force: true }))
    const servers = await startServers(network, names, directory, stack)
    const direct = { servers: servers.map(({ server }) => server.url), ...as("controller") }
    const checkpointEveryBatches = CHECKPOINT_EVERY_BATCHES
    await createGroup({ ...direct, replicas: names, log, checkpointEveryBatches })
    const referee = await connectNats({
      servers: direct.servers,
      user: direct.user,
      pass: direct.password,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      pingInterval: 1000,
      maxPingOut: 2,
    })
    stack.defer(() => referee.close())
    const replicas = names.map((replica) =>
      stack.use(
        new ReplicaProcess(
          {
            servers: network.urls(replica).join(","),
            replica,
            module: MODULE,
            dataDir: join(directory, replica),
            ...as(replica),
            determinism: "guarded",
            // purging is not what the liar's build is wrong about, and nobody would survive it
            ...(replica === liar ? {} : { truncateMarginEntries: TRUNCATE_MARGIN_ENTRIES }),
          },
          {
            NODE_ENV: "production",
            ...SOURCES,
            CHAOS_FAULTS_MAX: String(faultsMax),
            CHAOS_LIE: (replica === liar && lie) || "",
          },
        ),
      ),
    )
    await Promise.all(replicas.map((replica) => replica.start()))
    const clients: Array<Client> = []
    for (const [i, deadlineMs] of deadlinesMs.entries()) {
      const options = { servers: network.urls(`client-${i}`), ...as("client"), limits: { deadlineMs } }
      clients.push(stack.use(await connect(options)))
    }
    const stores = new Map(
      replicas.map((process) => [process, new ReplicaStore(join(directory, process.replica))]),
    )
    const site = new Site({ network, servers, replicas, clients, liar, referee, stores })
    await site.serversRecovered()
    stack.defer(() => site.logWatch.stop())
    const over = new AbortController()
    const lying = site.#keepLying(over.signal)
    stack.defer(() => {
      over.abort()
      return lying
    })
    site.#stack = stack.move()
    return site
  }

  /** Replicas whose build is correct. */
  get correct(): ReadonlyArray<ReplicaProcess> {
    return this.replicas.filter(({ replica }) => replica !== this.liar)
  }

  server(index: number): StoredServer {
    const server = this.servers[index]
    if (server === undefined) throw new Error(`there is no server ${index}`)
    return server
  }

  storeOf(replica: ReplicaProcess): ReplicaStore {
    const store = this.#stores.get(replica)
    if (store === undefined) throw new Error(`${replica.replica} has no store`)
    return store
  }

  /** Keeps a copy of a running replica's store, for a time when it is put back. */
  async keepCopy(replica: ReplicaProcess, kind: CopyKind): Promise<void> {
    if (kind === "whole") replica.pause()
    await this.storeOf(replica).keepCopy(kind)
    if (kind === "whole") replica.resume()
  }

  /** How often correct replicas told an operator something, by event. */
  get events(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {}
    for (const { log: lines } of this.correct)
      for (const { event } of lines) if (TOLD.has(event)) counts[event] = (counts[event] ?? 0) + 1
    return counts
  }

  /** Starts it as a supervisor does: again, where it could not start because no server could be reached. */
  async restartReplica(replica: ReplicaProcess): Promise<void> {
    await within(
      `${replica.replica} is started`,
      async () => {
        if (!replica.running) await replica.spawn()
        return (await this.#isReady(replica)) ? true : undefined
      },
      RECOVERY,
    )
  }

  /** Resolves when every server holds the whole log again, and they agree on who leads. */
  async serversRecovered(): Promise<void> {
    let since: number | undefined
    const isWhole = async (): Promise<true | undefined> => {
      if (!(await this.#isWhole())) since = undefined
      else since ??= performance.now()
      // the first answer after a pause may be that of a leader of the past
      return since !== undefined && performance.now() - since > 500 ? true : undefined
    }
    await within("all servers hold the log", isWhole, { timeMsMax: SERVERS_RECOVERY_MS_MAX })
  }

  /** Resolves when the log begins after this entry. */
  async truncatedBehind(seq: number): Promise<void> {
    await within(
      `the log begins after ${seq}`,
      async () => {
        const { streams } = await jetstreamManager(this.#referee, { timeout: 2000 })
        return (await streams.info(STREAM)).state.first_seq > seq ? true : undefined
      },
      RECOVERY,
    )
  }

  /**
   * Resolves when every correct replica has executed what is in the log now. Rejects if one ended or stopped. One that stopped for
   * an excused reason is started again, as an operator does it: because the log of a damaged server was not what it had executed
   * (`"log"`), or because its disk refused what it had to write (`"failed"`).
   */
  async replicasRecovered({ excused }: { readonly excused: "none" | "log" | "failed" }): Promise<void> {
    const lastSeq = await this.lastSeq()
    await Promise.all(this.correct.map((replica) => this.#replicaRecovered(replica, lastSeq, excused)))
  }

  async #keepLying(signal: AbortSignal): Promise<void> {
    const liar = this.replicas.find(({ replica }) => replica === this.liar)
    if (liar === undefined) return
    while (!signal.aborted) {
      if (stopOf(liar) !== undefined || !liar.running) {
        this.liarRestarts++
        await liar.spawn()
      }
      await sleep(200)
    }
  }

  async #replicaRecovered(
    replica: ReplicaProcess,
    lastSeq: number,
    excused: "none" | "log" | "failed",
  ): Promise<void> {
    await within(
      `${replica.replica} has executed ${lastSeq}`,
      async () => {
        if (!replica.running) throw new Fatal(`${replica.replica} ended by itself`)
        const stopped = stopOf(replica)
        if (stopped !== undefined) {
          if (!stopped.reason.startsWith(excused))
            throw new Fatal(`${replica.replica} stopped: ${stopped.reason}: ${stopped.detail}`)
          this.restarts.set(stopped.reason, (this.restarts.get(stopped.reason) ?? 0) + 1)
          await replica.spawn()
        }
        const status = await statusOf(replica)
        return status !== undefined && status.applied >= lastSeq ? true : undefined
      },
      RECOVERY,
    )
  }

  /** What all these replicas say once they have executed as much as each other. Rejects if they never agree. */
  async agreement(replicas: ReadonlyArray<ReplicaProcess>): Promise<PartitionStatus> {
    const lastSeq = await this.lastSeq()
    return within(
      `${replicas.map(({ replica }) => replica).join(", ")} are equal`,
      async () => {
        const statuses = await Promise.all(replicas.map(statusOf))
        const said = statuses.map((status) => `${status?.applied} ${status?.chain} ${status?.halted?.reason}`)
        const [first] = statuses
        if (new Set(said).size > 1) throw new Error(said.join(", "))
        return first !== undefined && first.applied >= lastSeq ? first : undefined
      },
      RECOVERY,
    )
  }

  /** The last position of the log. Of use only while no server is faulty: NATS does not promise more. */
  async lastSeq(): Promise<number> {
    return within(
      "the log says its last position",
      async () => {
        const { streams } = await jetstreamManager(this.#referee, { timeout: 2000 })
        return (await streams.info(STREAM)).state.last_seq
      },
      RECOVERY,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }

  async #isWhole(): Promise<boolean> {
    for (let a = 0; a < SERVERS; a++)
      for (let b = 0; b < a; b++) if (this.network.connectionsBetween(a, b) === 0) return false
    const { streams } = await jetstreamManager(this.#referee, { timeout: 2000 })
    const { cluster } = await streams.info(STREAM)
    const followers = cluster?.replicas ?? []
    if (cluster?.leader === undefined || followers.length !== SERVERS - 1) return false
    if (!followers.every(({ current, offline }) => current && !offline)) return false
    return this.#isMetaWhole()
  }

  /** The group of servers that makes consumers and streams. */
  async #isMetaWhole(): Promise<boolean> {
    const options = { strategy: "stall", maxWait: 1000, stall: 300 } as const
    const leaders: Array<string> = []
    let isCurrent = false
    for await (const answer of await this.#referee.requestMany("lockstep.settings", "{}", options)) {
      const { server, data } = answer.json<SettingsAnswer>()
      const { leader = "", replicas = [] } = data?.meta_cluster ?? {}
      leaders.push(leader)
      if (leader === server?.name) isCurrent = replicas.every((peer) => peer.current && !peer.offline)
    }
    return isCurrent && leaders.length === SERVERS && new Set(leaders).size === 1
  }

  async #isReady(replica: ReplicaProcess): Promise<boolean> {
    if (replica.health === undefined) return false
    const response = await fetch(`${replica.health}/ready`, { signal: AbortSignal.timeout(1000) })
    await response.body?.cancel()
    return response.ok
  }
}

/** What happens to stores and states. */
const TOLD: ReadonlySet<string> = new Set([
  "restored",
  "installed",
  "checkpoint-damaged",
  "checkpoint-failed",
  "truncation-failed",
  "rejoining",
  "halted",
  "failed",
])

/** Why it follows the log no more, if it does not, since it was started last. */
function stopOf({ log: lines, health }: ReplicaProcess) {
  if (health === undefined) return undefined // it is starting
  const last = lines.findLast(({ event }) => ["started", "halted", "failed"].includes(event))
  if (last === undefined || last.event === "started") return undefined
  return { reason: String(last["reason"] ?? last.event), detail: String(last["detail"] ?? last.error) }
}

interface SettingsAnswer {
  readonly server?: { readonly name?: string }
  readonly data?: {
    readonly meta_cluster?: {
      readonly leader?: string
      readonly replicas?: ReadonlyArray<{ readonly current?: boolean; readonly offline?: boolean }>
    }
  }
}

/** What `/status` says of the group's one partition; undefined where it does not answer at once. */
export async function statusOf(replica: ReplicaProcess): Promise<PartitionStatus | undefined> {
  try {
    const response = await fetch(`${replica.health}/status`, { signal: AbortSignal.timeout(1000) })
    const { partitions } = (await response.json()) as { partitions: ReadonlyArray<PartitionStatus> }
    return partitions[0]
  } catch {
    return undefined
  }
}

const MODULE = new URL("actors.ts", import.meta.url).pathname
/** What lets a replica process read sources: a TypeScript module with decorators. */
export const SOURCES = {
  NODE_OPTIONS: `--conditions=@lockstep/source --import ${new URL("../../infra/scripts/ts-hooks.mjs", import.meta.url).href}`,
}
