import type { ReplicationMode } from "@lockstep/replication"
import {
  type ActorClass,
  type Client,
  type ConnectOptions,
  connect,
  type Host,
  host,
  type HostOptions,
} from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

type Creation = Omit<NonNullable<HostOptions["create"]>, "replicas">

/** The replicas of one mode, on a nats-server and disks of their own; each can be stopped, and started on what its disk holds. */
export class Group implements AsyncDisposable {
  readonly #server: Server
  readonly #actor: ActorClass
  readonly #create: Creation
  readonly #names: ReadonlyArray<string>
  readonly #root = mkdtempSync(join(tmpdir(), "lockstep-conformance-"))
  readonly #hosts = new Map<string, Host>()

  private constructor(server: Server, actor: ActorClass, mode: ReplicationMode, create: Creation) {
    this.#server = server
    this.#actor = actor
    this.#create = create
    this.#names = Array.from({ length: mode.replicas }, (_, i) => `r${i}`)
  }

  /** `create`: of the group, where it is not to be as it is made by default. */
  static async start(actor: ActorClass, mode: ReplicationMode, create: Creation = {}): Promise<Group> {
    const group = new Group(await startServer(), actor, mode, create)
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
      create: { ...this.#create, replicas: this.#names },
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
