import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { type PartitionStatus, ReplicaProcess } from "@lockstep/replica-service/process"
import type { Replication } from "./inventory.ts"
import { Line } from "./line.ts"

const NAMES = ["r0", "r1", "r2"]

/** A replica that is surely the primary, and what it says of that. */
export interface Primary {
  readonly replica: string
  readonly reign: NonNullable<PartitionStatus["reign"]>
}

/** Three replicas, each the program of services/replica in a process and with a folder of its own, and a line to the server. */
export class Group implements AsyncDisposable {
  /** Where the carrier writes its bookings down. */
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
        const replica = new ReplicaProcess(
          {
            servers: line.url,
            group: replication,
            replica: name,
            createReplicas: NAMES.join(","),
            module: fileURLToPath(new URL("./actors.js", import.meta.url)),
            dataDir: join(folder, name),
          },
          { REPLICATION: replication, CARRIER: group.carrierFile },
        )
        group.#lines.set(name, line)
        group.#replicas.set(name, group.#stack.use(replica))
      }
      await Promise.all([...group.#replicas.values()].map((replica) => replica.start()))
    } catch (cause) {
      await group[Symbol.asyncDispose]()
      throw cause
    }
    return group
  }

  /** Resolves with the primary, once there is one with so many replicas in sync, itself included. */
  async primary({ inSync }: { readonly inSync: number }): Promise<Primary> {
    const untilMs = performance.now() + 20_000
    while (performance.now() < untilMs) {
      for (const [replica, process] of this.#replicas) {
        if (!process.running) continue
        const [partition] = await process.status()
        const reign = partition?.reign
        if (reign?.leased === true && reign.master === replica && reign.inSync.length >= inSync)
          return { replica, reign }
      }
      await sleep(20)
    }
    throw new Error(`no replica became the primary of ${inSync} replicas that are in sync`)
  }

  /** The lines of the others are cut, and a moment later the primary is killed: whatever it did in between, it alone knows. */
  async strike(primary: string, { aheadMs }: { readonly aheadMs: number }): Promise<void> {
    const others = [...this.#lines].filter(([name]) => name !== primary).map(([, line]) => line)
    for (const line of others) line.cut()
    await sleep(aheadMs)
    await this.#replicas.get(primary)?.kill()
    for (const line of others) line.mend()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}
