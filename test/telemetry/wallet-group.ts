import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ReplicaProcess } from "@lockstep/replica-service/process"
import { type Server, startServer } from "lockstep/develop"
import { expect } from "vitest"
import type { Started } from "./tree.ts"

const REPLICAS = ["r0", "r1", "r2"]
const soon = { timeout: 20_000 }

/** A nats-server and three replica processes of one mode, with disks of their own, that export spans; it remembers when each began and was killed. */
export class WalletGroup implements AsyncDisposable {
  readonly server: Server
  readonly replicas: ReadonlyArray<ReplicaProcess>
  /** By replica: each of its lives. */
  readonly lives = new Map<string, Array<Started>>(REPLICAS.map((replica) => [replica, []]))
  readonly #root: string

  private constructor(server: Server, { mode, to }: { readonly mode: string; readonly to: string }) {
    this.server = server
    this.#root = mkdtempSync(join(tmpdir(), "lockstep-wallets-"))
    this.replicas = REPLICAS.map(
      (replica, index) =>
        new ReplicaProcess(
          {
            servers: server.url,
            replica,
            createReplicas: REPLICAS.join(),
            createCheckpointEveryBatches: 40,
            dataDir: join(this.#root, replica),
            module: new URL("wallet-replica.ts", import.meta.url).pathname,
          },
          {
            MODE: mode,
            NODE_OPTIONS: `--import ${new URL("../../infra/scripts/ts-hooks.mjs", import.meta.url).href}`,
            OTEL_EXPORTER_OTLP_ENDPOINT: to,
            ...(index === 0 && { OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" }), // protobuf otherwise
            ...(index === 2 && { OTEL_EXPORTER_OTLP_COMPRESSION: "gzip" }),
            OTEL_BSP_SCHEDULE_DELAY: "50",
            OTEL_METRICS_EXPORTER: "none",
            OTEL_LOGS_EXPORTER: "none",
          },
        ),
    )
  }

  static async start(options: { readonly mode: string; readonly to: string }): Promise<WalletGroup> {
    const group = new WalletGroup(await startServer(), options)
    await Promise.all(group.replicas.map((replica) => group.begin(replica)))
    await expect.poll(() => group.#isWhole(), soon).toBe(true)
    return group
  }

  /** Until it has caught up and, where there is a master, that one counts on everybody. */
  async begin(replica: ReplicaProcess): Promise<void> {
    this.lives.get(replica.replica)?.push({ atMs: Date.now(), killedMs: undefined })
    await replica.start()
    if (this.replicas.every(({ health }) => health !== undefined))
      await expect.poll(() => this.#isWhole(), soon).toBe(true)
  }

  /** SIGKILL, or SIGTERM: then it drains, and exports what it has not exported yet. */
  async end(replica: ReplicaProcess, how: "kill" | "stop"): Promise<void> {
    const life = this.lives.get(replica.replica)?.at(-1)
    await replica[how]()
    // once it is over: a busy machine lets it live for a while after the signal
    if (how === "kill" && life !== undefined) life.killedMs = Date.now()
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => this.end(replica, "stop")))
  }

  /** All of them; the master first, where there is one. */
  async inOrder(): Promise<ReadonlyArray<ReplicaProcess>> {
    const states = await this.#states()
    const names = new Set(states.flatMap(({ reign }) => reign?.master ?? []))
    return this.replicas.toSorted((a, b) => Number(names.has(b.replica)) - Number(names.has(a.replica)))
  }

  async #isWhole(): Promise<boolean> {
    const states = await this.#states()
    return states.every(({ reign }) => reign === undefined || reign.inSync.length === REPLICAS.length)
  }

  async #states() {
    return (await Promise.all(this.replicas.map((replica) => replica.status()))).flat()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.kill()))
    await this.server.stop()
    rmSync(this.#root, { recursive: true, force: true })
  }
}
