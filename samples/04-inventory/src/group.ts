import { ReplicaProcess } from "@lockstep/replica-service/process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import type { Replication } from "./inventory.ts"
import { Line } from "./line.ts"

const NAMES = ["r0", "r1", "r2"]

/** What replicas report when there is another primary. */
export interface Reign {
  /** Counts primaries, from 1. */
  readonly epoch: number
  readonly primary: string
  /** The last position that it held when it was elected. */
  readonly position: number
  /** How many acknowledged positions may have been lost with the primary before, at most. */
  readonly lossWindow: number
}

/** Three replicas, each the program of services/replica in a process, with a folder and a line to the server of its own. */
export class Group implements AsyncDisposable {
  /** Where the carrier keeps its bookings. */
  readonly carrierFile: string
  readonly #replicas = new Map<string, ReplicaProcess>()
  readonly #lines = new Map<string, Line>()
  readonly #stack = new AsyncDisposableStack()

  private constructor(folder: string) {
    this.carrierFile = join(folder, "carrier.sqlite")
    this.#stack.defer(() => rm(folder, { recursive: true, force: true }))
  }

  static async start(server: string, replication: Replication): Promise<Group> {
    const folder = await mkdtemp(join(tmpdir(), "lockstep-inventory-"))
    const group = new Group(folder)
    try {
      for (const name of NAMES) {
        const line = group.#stack.use(await Line.to(server))
        const settings = {
          servers: line.url,
          group: replication,
          replica: name,
          createReplicas: NAMES.join(","),
          module: fileURLToPath(new URL("./actors.js", import.meta.url)),
          dataDir: join(folder, name),
        }
        const env = { REPLICATION: replication, CARRIER: group.carrierFile }
        group.#lines.set(name, line)
        group.#replicas.set(name, group.#stack.use(new ReplicaProcess(settings, env)))
      }
      await Promise.all([...group.#replicas.values()].map((replica) => replica.start()))
    } catch (cause) {
      await group[Symbol.asyncDispose]()
      throw cause
    }
    return group
  }

  /** Resolves with the primary's name, once there is one and so many replicas are in sync, itself included. */
  async primary({ inSync }: { readonly inSync: number }): Promise<string> {
    for (const untilMs = performance.now() + 20_000; performance.now() < untilMs; await sleep(20))
      for (const [name, replica] of this.#replicas) {
        if (!replica.running) continue
        const [partition] = await replica.status()
        const { leased = false, master, inSync: members = [] } = partition?.reign ?? {}
        if (leased && master === name && members.length >= inSync) return name
      }
    throw new Error(`there is no primary with ${inSync} replicas in sync`)
  }

  /** The lines of the others are cut, and a moment later the primary is killed: what it does in between, nobody else hears of. */
  async strike(primary: string, { aheadMs }: { readonly aheadMs: number }): Promise<void> {
    const others = [...this.#lines].filter(([name]) => name !== primary).map(([, line]) => line)
    for (const line of others) line.cut()
    await sleep(aheadMs)
    await this.#replicas.get(primary)?.kill()
    for (const line of others) line.mend()
  }

  /** All primaries that there were, as the replicas have logged it. */
  reigns(): ReadonlyArray<Reign> {
    const lines = [...this.#replicas.values()].flatMap(({ log }) => log)
    const reigns = lines
      .filter(({ event, master }) => event === "reign" && master !== undefined)
      .map(({ epoch, master, position, lossWindow }) => ({
        epoch: Number(epoch),
        primary: String(master),
        position: Number(position),
        lossWindow: Number(lossWindow),
      }))
    const byEpoch = new Map(reigns.map((reign) => [reign.epoch, reign]))
    return [...byEpoch.values()].toSorted((a, b) => a.epoch - b.epoch)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}
