import { randomInt } from "node:crypto"
import { connect, type NatsConnection } from "@nats-io/transport-node"

export interface ConnectionOptions {
  /** NATS servers, such as `"nats://127.0.0.1:4222"`. */
  readonly servers: string | ReadonlyArray<string>
  /** Shown in the servers' connection lists. */
  readonly name: string
  readonly user?: string
  readonly password?: string
}

/** A connection that reconnects for ever. What is published while it is down is lost: callers send again. */
export interface Connection extends AsyncDisposable {
  /** @internal The client library's own connection. */
  readonly nats: NatsConnection
  /** Core NATS: at most once. Never throws. */
  publish(subject: string, bytes: Uint8Array): void
  /** Returns the function that unsubscribes. */
  subscribe(subject: string, onMessage: (subject: string, bytes: Uint8Array) => void): () => void
  onReconnect(handler: () => void): () => void
  /**
   * Goes to another server, where more than one is known: this one answers, and what is asked of it leads to nothing. One that was
   * cut off from its peers is like that. What is on the way is lost, as at any reconnection.
   */
  leave(): void
  readonly closed: Promise<void>
  flush(): Promise<void>
  /** Sends what is buffered and disconnects: within two seconds, even if the server is gone. */
  close(): Promise<void>
}

/** A server that was left is not asked again for so long, milliseconds. */
const COME_BACK_MS = 2000

/** No server answered at these addresses. Nothing was sent. */
export class LogUnavailable extends Error {
  readonly _tag = "LogUnavailable"
  override readonly name = "LogUnavailable"
  readonly servers: string
  readonly detail: string

  constructor(servers: string | ReadonlyArray<string>, detail: string) {
    const list = typeof servers === "string" ? servers : servers.join(", ")
    super(
      `no NATS server could be used at ${list || "no address"} (${detail}); nothing was sent. Check that one runs there.`,
    )
    this.servers = list
    this.detail = detail
  }
}

/** The server is older than what the log relies on. Nothing was sent. */
export class ServerTooOld extends Error {
  readonly _tag = "ServerTooOld"
  override readonly name = "ServerTooOld"
  readonly found: string
  readonly needed: string

  constructor(found: string) {
    super(
      `nats-server ${found} is too old: ${SERVER_VERSION_MIN} or newer is needed, because older ones ignore settings that the log relies on, or lose streams. Nothing was sent.`,
    )
    this.found = found
    this.needed = SERVER_VERSION_MIN
  }
}

export const SERVER_VERSION_MIN = "2.15.1"

/** Rejects with {@link LogUnavailable} or {@link ServerTooOld}. */
export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  const { servers, name, user, password } = options
  if (servers.length === 0) throw new LogUnavailable(servers, "no server was named")
  let nats: NatsConnection
  try {
    nats = await connect({
      servers: typeof servers === "string" ? servers : shuffled(servers),
      noRandomize: true, // the order is ours: leave() says where to go next
      name,
      ...(user === undefined ? {} : { user, pass: password ?? "" }),
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      reconnectJitter: 50,
      // a server that is paused, or cut off, is given up after two seconds
      pingInterval: 1000,
      maxPingOut: 2,
      timeout: 2000,
    })
  } catch (cause) {
    throw new LogUnavailable(servers, cause instanceof Error ? cause.message : String(cause))
  }
  if ((nats.info?.api_lvl ?? 0) < API_LEVEL_MIN || !nats.info?.jetstream) {
    const info = nats.info
    await nats.close()
    if (info !== undefined && !info.jetstream)
      throw new LogUnavailable(servers, "the server runs without JetStream")
    throw new ServerTooOld(info?.version ?? "of an unknown version")
  }
  return connectionOf(nats)
}

/** JetStream API level that 2.11 introduced; older servers drop settings in silence. */
const API_LEVEL_MIN = 2
const CLOSE_MS_MAX = 2000

function connectionOf(nats: NatsConnection): Connection {
  const onReconnect = new Set<() => void>()
  void watch(nats, onReconnect)
  return {
    nats,
    publish(subject, bytes) {
      if (!nats.isClosed()) nats.publish(subject, bytes)
    },
    subscribe(subject, onMessage) {
      const subscription = nats.subscribe(subject, {
        callback: (error, message) => {
          if (error === null) apart(() => onMessage(message.subject, message.data))
        },
      })
      return () => {
        if (!nats.isClosed()) subscription.unsubscribe()
      }
    },
    onReconnect(handler) {
      onReconnect.add(handler)
      return () => void onReconnect.delete(handler)
    },
    leave() {
      const current = nats.getServer()
      const others = nats.getServers().flatMap(({ listen }) => (listen === current ? [] : [listen]))
      if (others.length === 0 || nats.isClosed() || nats.isDraining()) return
      // the client may choose twice while it reconnects: the server that it leaves must not be among those that it chooses from
      nats.setServers(others)
      void nats.reconnect()
      setTimeout(() => {
        if (nats.isClosed() || nats.isDraining()) return
        nats.setServers([...new Set([...nats.getServers().map(({ listen }) => listen), current])])
      }, COME_BACK_MS).unref()
    },
    closed: nats.closed().then(() => undefined),
    flush: () => nats.flush(),
    [Symbol.asyncDispose]: close,
    close,
  }

  async function close(): Promise<void> {
    if (nats.isClosed()) return
    const giveUp = setTimeout(() => void nats.close(), CLOSE_MS_MAX)
    try {
      await nats.drain()
    } catch {
      await nats.close() // it was reconnecting: there is nothing to drain into
    } finally {
      clearTimeout(giveUp)
    }
  }
}

/** So that not everybody is on the server that is named first. */
function shuffled(servers: ReadonlyArray<string>): Array<string> {
  const order: Array<string> = []
  for (const server of servers) order.splice(randomInt(order.length + 1), 0, server)
  return order
}

/** What a handler throws would end the client library's read loop: it becomes an uncaught exception of the process instead. */
function apart(handle: () => void): void {
  try {
    handle()
  } catch (cause) {
    queueMicrotask(() => {
      throw cause
    })
  }
}

async function watch(nats: NatsConnection, onReconnect: ReadonlySet<() => void>): Promise<void> {
  for await (const status of nats.status())
    if (status.type === "reconnect") for (const handler of onReconnect) handler()
}
