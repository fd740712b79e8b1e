import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { jetstreamManager } from "@nats-io/jetstream"
import { CLIENT_LIMITS } from "@lockstep/replication"
import { connect, createInbox, type NatsConnection } from "@nats-io/transport-node"
import { endWithUs } from "lockstep/develop"
import type { Contender } from "./contender.ts"

const PROGRAM = new URL("floor-replica.ts", import.meta.url).pathname
/** As many as Lockstep packs by default. */
const BATCH_COMMANDS_MAX = CLIENT_LIMITS.batchCommandsMax

/** The stream that it publishes to. */
export const FLOOR_STREAM = "FLOOR"

/**
 * The limit of the design, by hand: publish to a stream, three tails, two equal replies. Calls of one turn of the event loop are
 * packed into batches, and every caller gets its own answer; nothing is checked, digested, chained or remembered. Each of the
 * replicas has a server to itself where there are three; the caller is on the last one.
 */
export async function startFloor(
  servers: string | ReadonlyArray<string>,
  copies: number,
): Promise<Contender> {
  const urls = [servers].flat()
  const nats = await connect({ servers: urls.at(-1) ?? "" })
  const { streams } = await jetstreamManager(nats)
  await streams.add({ name: FLOOR_STREAM, subjects: ["floor.in"], storage: "file", num_replicas: copies })
  const replicas = await Promise.all([0, 1, 2].map((i) => startReplica(urls[i % urls.length] ?? "")))
  const floor = new Floor(nats)
  return {
    name: "plain code: publish, three tails, two replies",
    counter: (key) => () => floor.add(key),
    async [Symbol.asyncDispose]() {
      for (const replica of replicas) replica.kill("SIGKILL")
      await nats.close()
    },
  }
}

interface Batch {
  readonly keys: Array<string>
  readonly callers: Array<(value: number) => void>
  first?: Buffer
}

/** Gathers calls into batches, and resolves each batch at its second equal reply. */
class Floor {
  readonly #nats: NatsConnection
  readonly #inbox = createInbox()
  readonly #ackInbox = createInbox()
  readonly #sent = new Map<number, Batch>()
  #open: Batch | undefined
  #number = 0

  constructor(nats: NatsConnection) {
    this.#nats = nats
    nats.subscribe(this.#inbox, { callback: (_, message) => this.#reply(message.data) })
    nats.subscribe(this.#ackInbox, { callback: () => undefined })
  }

  add(key: string): Promise<number> {
    return new Promise((resolve) => {
      let batch = this.#open
      if (batch === undefined) {
        batch = this.#open = { keys: [], callers: [] }
        queueMicrotask(() => this.#flush())
      }
      batch.keys.push(key)
      batch.callers.push(resolve)
      if (batch.keys.length >= BATCH_COMMANDS_MAX) this.#flush()
    })
  }

  #flush(): void {
    const batch = this.#open
    if (batch === undefined) return
    this.#open = undefined
    const number = this.#number++
    const size = 9 + this.#inbox.length + batch.keys.reduce((sum, key) => sum + 5 + key.length, 0)
    const bytes = Buffer.allocUnsafe(size)
    bytes.writeUInt32LE(batch.keys.length, 0)
    bytes.writeUInt32LE(number, 4)
    bytes.writeUInt8(this.#inbox.length, 8)
    let at = 9 + bytes.write(this.#inbox, 9, "latin1")
    for (const key of batch.keys) {
      bytes.writeUInt8(key.length, at)
      at += 1 + bytes.write(key, at + 1, "latin1")
      at = bytes.writeUInt32LE(1, at)
    }
    this.#sent.set(number, batch)
    this.#nats.publish("floor.in", bytes, { reply: this.#ackInbox })
  }

  #reply(data: Uint8Array): void {
    const reply = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    const number = reply.readUInt32LE(0)
    const batch = this.#sent.get(number)
    if (batch === undefined) return
    if (batch.first === undefined) {
      batch.first = Buffer.from(reply)
      return
    }
    if (!batch.first.equals(reply)) return
    this.#sent.delete(number)
    for (const [i, resolve] of batch.callers.entries()) resolve(reply.readUInt32LE(4 + i * 4))
  }
}

async function startReplica(servers: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [...process.execArgv, PROGRAM, servers, FLOOR_STREAM], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  endWithUs(child)
  await once(child.stdout, "data")
  return child
}
