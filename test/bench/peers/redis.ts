import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { Redis } from "ioredis"
import type { Peer } from "../contender.ts"
import { Gathering } from "./gathering.ts"
import { freePorts } from "@lockstep/nats"
import { findProgram, startProgram, versionOf } from "./program.ts"

const GROUP_CALLS_MAX = 4096
const WAIT_MS_MAX = 10_000

/** INCR on a master with two replicas. */
class Trio implements AsyncDisposable {
  readonly client: Redis
  readonly version: string
  readonly #stack: AsyncDisposableStack

  private constructor(client: Redis, version: string, stack: AsyncDisposableStack) {
    this.client = client
    this.version = version
    this.#stack = stack
  }

  static async start(folder: string, appendfsync: "always" | "everysec"): Promise<Trio> {
    const command = findProgram("redis-server")
    const stack = new AsyncDisposableStack()
    try {
      const [master = 0, ...replicas] = await freePorts(3)
      for (const port of [master, ...replicas]) {
        const dir = join(folder, `redis-${port}`)
        await mkdir(dir)
        const settings = {
          port,
          dir,
          appendfsync,
          appendonly: "yes",
          bind: "127.0.0.1",
          save: "",
          "repl-diskless-sync-delay": 0,
        }
        const replicaof = port === master ? [] : ["--replicaof", "127.0.0.1", String(master)]
        const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
        const server = await startProgram({
          command,
          args: [...args, ...replicaof],
          ready: () => pings(port),
        })
        stack.use(server)
      }
      const client = new Redis({ host: "127.0.0.1", port: master, enableAutoPipelining: true })
      stack.defer(() => client.disconnect())
      // what is written before both follow would be sent to them as a whole
      if ((await client.wait(2, WAIT_MS_MAX)) < 2) throw new Error("Redis: the replicas do not follow")
      return new Trio(client, versionOf(command, /v=(\S+)/), stack)
    } catch (cause) {
      await stack.disposeAsync()
      throw cause
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync()
  }
}

/** As durable as it can be: each group of pipelined commands waits until one of the replicas has it, too. */
export async function startRedisAlways(folder: string): Promise<Peer> {
  const trio = await Trio.start(folder, "always")
  const group = new Gathering(GROUP_CALLS_MAX, (keys: ReadonlyArray<string>) => addAll(trio.client, keys))
  return {
    name: "Redis: fsync always, WAIT 1",
    terms: {
      synced: "each write",
      copies: 2,
      executed: 3,
      about: `${trio.version}, a master and two replicas, AOF always on all; one connection, a WAIT 1 for each group of pipelined commands`,
    },
    counter: (key) => () => group.call(key),
    [Symbol.asyncDispose]: () => trio[Symbol.asyncDispose](),
  }
}

/** As most use it: an answer waits for no disk, and for no replica. */
export async function startRedisEverySecond(folder: string): Promise<Peer> {
  const trio = await Trio.start(folder, "everysec")
  return {
    name: "Redis: fsync every second",
    terms: {
      synced: "every second",
      copies: 1,
      executed: 3,
      about: `${trio.version}, a master and two replicas, AOF everysec on all; one connection, pipelined; no WAIT`,
    },
    counter: (key) => () => trio.client.incr(key),
    [Symbol.asyncDispose]: () => trio[Symbol.asyncDispose](),
  }
}

async function addAll(client: Redis, keys: ReadonlyArray<string>): Promise<ReadonlyArray<number>> {
  const pipeline = client.pipeline()
  for (const key of keys) pipeline.incr(key)
  pipeline.wait(1, WAIT_MS_MAX)
  const answers = (await pipeline.exec()) ?? []
  const numbers = answers.map(([error, answer]) => {
    if (error !== null) throw error
    return Number(answer)
  })
  if ((numbers.pop() ?? 0) < 1) throw new Error(`Redis: no replica within ${WAIT_MS_MAX} ms`)
  return numbers
}

async function pings(port: number): Promise<boolean> {
  const client = new Redis({ host: "127.0.0.1", port, lazyConnect: true, retryStrategy: () => null })
  client.on("error", () => undefined) // connect() rejects with it
  try {
    await client.connect()
    return (await client.ping()) === "PONG"
  } finally {
    client.disconnect()
  }
}
