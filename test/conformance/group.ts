import type { ReplicationMode } from "@lockstep/replication"
import { type ActorClass, type Client, type ConnectOptions, connect, type Host, host } from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** The replicas of one mode, on a nats-server and disks of their own; each can be stopped, and started on what its disk holds. */
export class Group implements AsyncDisposable {
  readonly #server: Server
  readonly #actor: ActorClass
  readonly #names: ReadonlyArray<string>
  readonly #root = mkdtempSync(join(tmpdir(), "lockstep-conformance-"))
  readonly #hosts = new Map<string, Host>()

  private constructor(server: Server, actor: ActorClass, mode: ReplicationMode) {
    this.#server = server
    this.#actor = actor
    this.#names = Array.from({ length: mode.replicas }, (_, i) => `r${i}`)
  }

  static async start(actor: ActorClass, mode: ReplicationMode): Promise<Group> {
    const group = new Group(await startServer(), actor, mode)
    await group.startAll()
    return group
  }

  get names(): ReadonlyArray<string> {
    return this.#names
  }

  get hosts(): ReadonlyArray<Host> {
    return [...this.#hosts.values()]
  }

  connect(deadlineMs = 20_000, limits: ConnectOptions["limits"] = {}): Promise<Client> {
    return connect({ servers: this.#server.url, limits: { deadlineMs, ...limits } })
  }

  async start(replica: string): Promise<void> {
    const running = await host({
      servers: this.#server.url,
      actors: [this.#actor],
      replica,
      create: { replicas: this.#names },
      dataDir: join(this.#root, replica),
    })
    this.#hosts.set(replica, running)
  }

  async startAll(): Promise<void> {
    for (const name of this.#names) await this.start(name)
  }

  async stop(replica: string): Promise<void> {
    await this.#hosts.get(replica)?.drain()
    this.#hosts.delete(replica)
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.#names.map((name) => this.stop(name)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopAll()
    await this.#server.stop()
    rmSync(this.#root, { recursive: true, force: true })
  }
}
