import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { GroupName, Partition } from "@lockstep/core"
import { openConnection, streamName } from "@lockstep/nats"
import { ReplicaProcess } from "@lockstep/replica-service/process"
import { jetstreamManager } from "@nats-io/jetstream"
import { type Client, connect, type ConnectOptions, createGroup, handOver } from "lockstep"
import { type Server, startServer } from "lockstep/develop"
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
            ...settings,
          },
          {
            NODE_OPTIONS: `--import ${new URL("../../infra/scripts/ts-hooks.mjs", import.meta.url).href}`,
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
    const has = (wanted: string): boolean => log.some(({ event }) => event === wanted)
    return {
      beganAt: has("installed") ? "peer's checkpoint" : has("restored") ? "own checkpoint" : "first entry",
      attachedMs: Date.parse(attached.time) - startedAtMs,
      caughtUpMs: Date.parse(caughtUp.time) - startedAtMs,
      entries: Number(caughtUp["seq"]),
      commands: Number(caughtUp["executed"]),
    }
  }

  /** The log: its bytes as the server counts them, and its entries. */
  async log(): Promise<{ readonly bytes: number; readonly entries: number; readonly lastSeq: number }> {
    const connection = await openConnection({ servers: this.#urls, name: "lockstep-bench" })
    try {
      const manager = await jetstreamManager(connection.nats)
      const { state } = await manager.streams.info(streamName(GroupName(this.#group), Partition(0)))
      return { bytes: state.bytes, entries: state.messages, lastSeq: state.last_seq }
    } finally {
      await connection.close()
    }
  }

  /** Resolves when every replica has executed all that is in the log just now. */
  async settled(): Promise<void> {
    const { lastSeq } = await this.log()
    await this.#until((statuses) => statuses.every(({ applied }) => applied >= lastSeq))
  }

  /** Makes calls, one at a time, until every replica knows that a checkpoint of all that is in the log now is on the disks. */
  async checkpointed(call: () => Promise<unknown>): Promise<void> {
    const { lastSeq } = await this.log()
    await this.#until(async (statuses) => {
      if (statuses.every(({ durable }) => durable >= lastSeq)) return true
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

  async #until(isDone: (statuses: ReadonlyArray<Status>) => boolean | Promise<boolean>): Promise<void> {
    for (;;) {
      const statuses = await Promise.all([...this.#replicas.values()].map((replica) => replica.status()))
      const all = statuses.flat()
      const halted = all.find((status) => status.halted !== undefined)?.halted
      if (halted !== undefined) throw new Error(`a replica halted: ${halted.reason}: ${halted.detail}`)
      if (await isDone(all)) return
      await sleep(5)
    }
  }
}

type Status = Awaited<ReturnType<ReplicaProcess["status"]>>[number]

/** How a replica started: by its own log, milliseconds after its process. */
export interface Start {
  readonly beganAt: "first entry" | "own checkpoint" | "peer's checkpoint"
  readonly attachedMs: number
  readonly caughtUpMs: number
  /** Where in the log it was then, and the commands that it executed to get there. */
  readonly entries: number
  readonly commands: number
}
