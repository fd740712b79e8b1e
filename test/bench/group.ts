import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { GroupName, Partition } from "@lockstep/core"
import { openConnection, streamName } from "@lockstep/nats"
import { type LogLine, type PartitionStatus, ReplicaProcess } from "@lockstep/replica-service/process"
import { jetstreamManager, type StreamState } from "@nats-io/jetstream"
import { type Client, connect, type ConnectOptions, createGroup, handOver } from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import type { Held } from "./held.ts"
import type { LogServers } from "./log-servers.ts"

/** A call may take as long as it takes: a slow machine is no error. */
const DEADLINE_MS = 3_600_000

/** What a group of the bench hosts. */
export interface BenchGroupOptions {
  /** A file of this folder that exports `actors`. */
  readonly module: string
  readonly checkpointEveryBatches: number
  /** For the module: how it is to replicate, for instance. */
  readonly env?: Readonly<Record<string, string>>
  /** How many there are. Default: three. */
  readonly replicas?: number
  /** Default: one. */
  readonly partitions?: number
  /** More settings of the replica program, each time that it starts. */
  readonly settings?: Readonly<Record<string, number>>
  /** One that others use too, and that they end. Default: one of its own. */
  readonly server?: Server
  /** In place of one server: as many as there are copies of the log. Others end them. */
  readonly log?: LogServers
  /** Default: `"main"`. */
  readonly group?: string
  /** Default: 8 GiB. */
  readonly logBytesMax?: number
  /** Of the client. Default: a call may take as long as it takes. */
  readonly limits?: NonNullable<ConnectOptions["limits"]>
}

/** A nats-server and replica processes, each with a folder of its own, as in production. */
export class BenchGroup implements AsyncDisposable {
  /** Of its own, if it has one. */
  readonly #server: Server | undefined
  readonly #urls: ReadonlyArray<string>
  readonly #options: BenchGroupOptions
  readonly #group: string
  readonly #directory = mkdtempSync(join(tmpdir(), "lockstep-bench-"))
  readonly #replicas = new Map<string, ReplicaProcess>()
  #client: Client | undefined

  readonly names: ReadonlyArray<string>

  private constructor(server: Server | undefined, urls: ReadonlyArray<string>, options: BenchGroupOptions) {
    this.#server = server
    this.#urls = urls
    this.#options = options
    this.#group = options.group ?? "main"
    this.names = Array.from({ length: options.replicas ?? 3 }, (_, i) => `r${i}`)
  }

  static async start(options: BenchGroupOptions): Promise<BenchGroup> {
    const { server: given, log } = options
    const own = given === undefined && log === undefined ? await startServer() : undefined
    const urls = log?.urls ?? [given ?? own].flatMap((server) => server?.url ?? [])
    const group = new BenchGroup(own, urls, options)
    await createGroup({
      servers: urls,
      group: group.#group,
      replicas: group.names,
      partitions: options.partitions ?? 1,
      checkpointEveryBatches: options.checkpointEveryBatches,
      log: {
        copies: log?.copies ?? 1,
        maxBytes: options.logBytesMax ?? 8 * 1024 ** 3,
        maxEntryBytes: 1024 ** 2,
      },
      accept: ["single-copy-log", "sync-interval"],
    })
    await group.startReplicas()
    return group
  }

  /** Makes this replica the primary, as an operator does. */
  async handOver(to: string): Promise<void> {
    await handOver({ servers: this.#urls, group: this.#group, to })
  }

  /** Resolves with the name of the primary when everybody is in sync with it. */
  async primary(): Promise<string> {
    let found = ""
    await this.#until((statuses) => {
      const reigns = statuses.flatMap(({ reign }) => reign ?? [])
      const leased = reigns.find((reign) => reign.leased)
      const isWhole = reigns.every(
        ({ epoch, inSync }) => epoch === leased?.epoch && inSync.length === this.names.length,
      )
      found = leased?.master ?? ""
      return isWhole && found !== ""
    })
    return found
  }

  async connect(): Promise<Client> {
    this.#client ??= await connect({
      servers: this.#urls,
      group: this.#group,
      limits: this.#options.limits ?? { deadlineMs: DEADLINE_MS },
    })
    return this.#client
  }

  /** Starts replicas, or starts them again with other settings. */
  async startReplicas(
    settings: Readonly<Record<string, number>> = {},
    names: ReadonlyArray<string> = this.names,
  ): Promise<void> {
    await Promise.all(
      names.map(async (replica) => {
        await this.#replicas.get(replica)?.kill()
        const started = new ReplicaProcess(
          {
            servers: this.#urls.join(","),
            group: this.#group,
            replica,
            module: new URL(this.#options.module, import.meta.url).pathname,
            determinism: "guarded",
            dataDir: this.dataDir(replica),
            ...this.#options.settings,
            ...settings,
          },
          {
            NODE_OPTIONS: `--expose-gc --import ${at("../../infra/scripts/ts-hooks.mjs")} --import ${at("held.ts")}`,
            ...this.#options.env,
          },
        )
        this.#replicas.set(replica, started)
        await started.start()
      }),
    )
  }

  replica(name: string): ReplicaProcess {
    const replica = this.#replicas.get(name)
    if (replica === undefined) throw new Error(`there is no replica ${name}`)
    return replica
  }

  dataDir(name: string): string {
    return join(this.#directory, name)
  }

  /** What a replica's process holds after collections. */
  async held(name: string): Promise<Held> {
    const { log, pid } = this.replica(name)
    const before = log.length
    process.kill(pid, "SIGUSR2")
    for (;;) {
      const line = log.slice(before).find(({ event }) => event === "held")
      if (line !== undefined) return line as LogLine & Held // what held.ts writes
      if (!this.replica(name).running) throw new Error(`replica ${name} ended`)
      await sleep(5)
    }
  }

  /** Ends a replica, and starts it again. Resolves when it has executed all that was in the log. */
  async restart(
    name: string,
    options: { readonly store: "kept" | "emptied"; readonly settings?: Readonly<Record<string, number>> },
  ): Promise<Start> {
    await this.replica(name).kill()
    if (options.store === "emptied") rmSync(this.dataDir(name), { recursive: true, force: true })
    const startedAtMs = Date.now()
    await this.startReplicas(options.settings, [name])
    const { log } = this.replica(name)
    const attached = log.find(({ event }) => event === "attached")
    const caughtUp = log.findLast(({ event }) => event === "caught-up")
    if (attached === undefined || caughtUp === undefined)
      throw new Error(`replica ${name} says that it is ready, and not how`)
    const began = log.findLast(({ event }) => event === "installed" || event === "restored")
    return {
      beganAt: beginningOf(began?.event),
      beganAfter: Number(began?.["seq"] ?? 0),
      attachedMs: Date.parse(attached.time) - startedAtMs,
      caughtUpMs: Date.parse(caughtUp.time) - startedAtMs,
      entries: Number(caughtUp["seq"]),
      commands: Number(caughtUp["executed"]),
    }
  }

  /** The log: its bytes as the server counts them, and its entries. Of all partitions, where there are several. */
  async log(): Promise<{ readonly bytes: number; readonly entries: number }> {
    const logs = await this.#logs()
    return {
      bytes: logs.reduce((sum, log) => sum + log.bytes, 0),
      entries: logs.reduce((sum, log) => sum + log.messages, 0),
    }
  }

  /** Resolves when every replica has executed all that is in the logs just now. */
  async settled(): Promise<void> {
    const logs = await this.#logs()
    await this.#until((statuses) =>
      statuses.every(({ partition, applied }) => applied >= (logs[partition]?.last_seq ?? 0)),
    )
  }

  /** Makes calls, one at a time, until every replica knows that a checkpoint of all that is in the logs now is on the disks. */
  async checkpointed(call: () => Promise<unknown>): Promise<void> {
    const logs = await this.#logs()
    await this.#until(async (statuses) => {
      if (statuses.every(({ partition, durable }) => durable >= (logs[partition]?.last_seq ?? 0))) return true
      for (let i = 0; i < 20; i++) await call()
      return false
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.close()
    await Promise.all([...this.#replicas.values()].map((replica) => replica.kill()))
    await this.#server?.stop()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  /** By partition. */
  async #logs(): Promise<ReadonlyArray<StreamState>> {
    const connection = await openConnection({ servers: this.#urls, name: "lockstep-bench" })
    try {
      const { streams } = await jetstreamManager(connection.nats)
      const partitions = Array.from({ length: this.#options.partitions ?? 1 }, (_, i) => Partition(i))
      return await Promise.all(
        partitions.map(
          async (partition) => (await streams.info(streamName(GroupName(this.#group), partition))).state,
        ),
      )
    } finally {
      await connection.close()
    }
  }

  async #until(isDone: (statuses: ReadonlyArray<Status>) => boolean | Promise<boolean>): Promise<void> {
    for (;;) {
      const statuses = await Promise.all([...this.#replicas.values()].map(statusOf))
      const all = statuses.flatMap((status) => status.map((each, partition) => ({ ...each, partition })))
      const halted = all.find((status) => status.halted !== undefined)?.halted
      if (halted !== undefined) throw new Error(`a replica halted: ${halted.reason}: ${halted.detail}`)
      if (await isDone(all)) return
      await sleep(5)
    }
  }
}

/** One that keeps a large checkpoint answers nobody for seconds, and may end the connection of who has waited. */
async function statusOf(replica: ReplicaProcess): Promise<ReadonlyArray<PartitionStatus>> {
  for (;;) {
    try {
      return await replica.status()
    } catch (cause) {
      if (!replica.running) throw cause
      await sleep(100)
    }
  }
}

type Status = PartitionStatus & { readonly partition: number }

const at = (file: string): string => new URL(file, import.meta.url).href

function beginningOf(event: string | undefined): Start["beganAt"] {
  if (event === "installed") return "peer's checkpoint"
  return event === "restored" ? "own checkpoint" : "first entry"
}

/** How a replica started: by its own log, milliseconds after its process. */
export interface Start {
  readonly beganAt: "first entry" | "own checkpoint" | "peer's checkpoint"
  /** The position of that checkpoint. */
  readonly beganAfter: number
  readonly attachedMs: number
  readonly caughtUpMs: number
  /** Where in the log it was then, and the commands that it executed to get there. */
  readonly entries: number
  readonly commands: number
}
