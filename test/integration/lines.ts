import type { ReplicationMode } from "@lockstep/replication"
import { Random } from "@lockstep/testing"
import { type ActorClass, type Client, connect, type Host, host } from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect } from "vitest"
import { OPEN, type Passage, TcpProxy } from "../chaos/proxy.ts"

const NAMES = ["r0", "r1", "r2"]
const soon = { timeout: 20_000 }

/** Three replicas in this process, each with a disk, and with a line of its own to the server, which can be cut and slowed. */
export class Lines implements AsyncDisposable {
  readonly #server: Server
  readonly #actor: ActorClass
  readonly #root = mkdtempSync(join(tmpdir(), "lockstep-lines-"))
  readonly #hosts = new Map<string, Host>()
  readonly #proxies = new Map<string, TcpProxy>()

  private constructor(server: Server, actor: ActorClass) {
    this.#server = server
    this.#actor = actor
  }

  /** Resolves when all are in sync. */
  static async start(actor: ActorClass, mode: ReplicationMode): Promise<Lines> {
    const lines = new Lines(await startServer(), actor)
    const random = new Random(`lines ${mode.lane}`)
    const port = Number(new URL(lines.#server.url).port)
    for (const name of NAMES) lines.#proxies.set(name, await TcpProxy.listen(port, random))
    for (const name of NAMES) await lines.start(name)
    await lines.inSync(3)
    return lines
  }

  async start(replica: string): Promise<void> {
    const running = await host({
      servers: `nats://127.0.0.1:${this.#proxies.get(replica)?.port}`,
      actors: [this.#actor],
      replica,
      create: { replicas: NAMES },
      dataDir: join(this.#root, replica),
    })
    this.#hosts.set(replica, running)
  }

  async stop(replica: string): Promise<void> {
    await this.#hosts.get(replica)?.drain()
    this.#hosts.delete(replica)
  }

  /** Nothing passes between this replica and all others, and waits. */
  cut(replica: string): void {
    this.slow(replica, { ...OPEN, silent: true })
  }

  slow(replica: string, passage: Passage): void {
    for (const direction of ["forth", "back"] as const) this.#proxies.get(replica)?.set(direction, passage)
  }

  /** What waited on the line of this replica is lost, and it connects again. */
  mend(replica: string): void {
    this.slow(replica, OPEN)
    this.#proxies.get(replica)?.reset()
  }

  /** The replica that surely is the master; undefined while there is none. */
  get master(): string | undefined {
    const found = [...this.#hosts.values()].find(({ status }) => {
      const reign = status[0]?.reign
      return reign?.isMaster === true && reign.leased
    })
    return found?.replica
  }

  get backups(): ReadonlyArray<string> {
    return NAMES.filter((name) => name !== this.master)
  }

  hostOf(replica: string | undefined): Host | undefined {
    return this.#hosts.get(replica ?? "")
  }

  /** Resolves with the master, when it says that so many replicas are in sync, and has heard that they hold everything. */
  async inSync(size: number): Promise<string> {
    const state = () => {
      const reign = this.hostOf(this.master)?.status[0]?.reign
      return { size: reign?.inSync.length, behind: [...(reign?.lag.values() ?? [])].filter((lag) => lag > 0) }
    }
    await expect.poll(state, soon).toEqual({ size, behind: [] })
    return this.master ?? "nobody"
  }

  connect(): Promise<Client> {
    return connect({ servers: this.#server.url, limits: { deadlineMs: 20_000 } })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of NAMES) this.mend(name)
    for (const name of NAMES) await this.stop(name)
    for (const proxy of this.#proxies.values()) await proxy[Symbol.asyncDispose]()
    await this.#server.stop()
    rmSync(this.#root, { recursive: true, force: true })
  }
}
