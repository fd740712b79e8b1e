import { setTimeout as sleep } from "node:timers/promises"
import { type Server, startCluster } from "@lockstep/nats"
import { jetstreamManager } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { startServer } from "lockstep/develop"

/** How a log is kept. */
export interface LogSetup {
  readonly copies: 1 | 3
  /** When entries reach the disk: before they are acknowledged, or as a nats-server does it where nobody says anything. */
  readonly sync: "always" | "default"
}

/** A nats-server for each copy of the log, on loopback. */
export class LogServers implements AsyncDisposable {
  readonly copies: 1 | 3
  readonly #servers: ReadonlyArray<Server>

  private constructor(copies: 1 | 3, servers: ReadonlyArray<Server>) {
    this.copies = copies
    this.#servers = servers
  }

  static async start({ copies, sync }: LogSetup): Promise<LogServers> {
    const options = sync === "always" ? {} : { syncInterval: DEFAULT_SYNC_INTERVAL }
    if (copies === 1) return new LogServers(copies, [await startServer(options)])
    return new LogServers(copies, (await startCluster(options)).servers)
  }

  get urls(): ReadonlyArray<string> {
    return this.#servers.map(({ url }) => url)
  }

  /** Makes the first server the stream's leader, so that everybody who is compared is as far from it. */
  async leadFromFirst(stream: string): Promise<void> {
    if (this.copies === 1) return
    const nats = await connect({ servers: this.#servers[0]?.url ?? "" })
    try {
      while ((await this.#leaderIndex(stream)) !== 0) {
        const placement = { preferred: "n0" }
        await nats.request(`$JS.API.STREAM.LEADER.STEPDOWN.${stream}`, JSON.stringify({ placement }))
        await sleep(200)
      }
    } finally {
      await nats.close()
    }
  }

  /** The server that orders what is written to the stream just now. */
  async leader(stream: string): Promise<Server> {
    for (;;) {
      const leader = this.#servers[await this.#leaderIndex(stream)]
      if (leader !== undefined) return leader
      await sleep(50)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()))
  }

  /** -1 while there is none. */
  async #leaderIndex(stream: string): Promise<number> {
    if (this.copies === 1) return 0
    const nats = await connect({ servers: [...this.urls] })
    try {
      const { streams } = await jetstreamManager(nats)
      const { cluster } = await streams.info(stream)
      return this.#servers.findIndex((_, i) => cluster?.leader === `n${i}`)
    } finally {
      await nats.close()
    }
  }
}

/** The server's own, which it has where its configuration says nothing. */
const DEFAULT_SYNC_INTERVAL = "2m"
