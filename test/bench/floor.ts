import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { jetstreamManager } from "@nats-io/jetstream"
import { connect, createInbox, type NatsConnection } from "@nats-io/transport-node"
import type { Contender } from "./contender.ts"

const PROGRAM = new URL("floor-replica.ts", import.meta.url).pathname
const BATCH_COMMANDS = 512

/**
 * The limit of the design, by hand: publish to a stream, three tails, two equal replies. Batches are packed by hand, and
 * nothing is checked, digested, chained or remembered.
 */
export async function startFloor(servers: string, copies: number): Promise<Contender> {
  const nats = await connect({ servers })
  const { streams } = await jetstreamManager(nats)
  await streams.add({ name: "FLOOR", subjects: ["floor.in"], storage: "file", num_replicas: copies })
  const replicas = await Promise.all([0, 1, 2].map(() => startReplica(servers)))
  const floor = new Floor(nats)
  return {
    name: "plain code: publish, three tails, two replies",
    call: (key) => floor.send([key]),
    async throughput(commands, inFlight, keys) {
      let sent = 0
      const worker = async (): Promise<void> => {
        while (sent < commands) {
          const batch = Array.from({ length: BATCH_COMMANDS }, (_, i) => keys[(sent + i) % keys.length] ?? "")
          sent += batch.length
          await floor.send(batch)
        }
      }
      await Promise.all(Array.from({ length: Math.ceil(inFlight / BATCH_COMMANDS) }, worker))
      return sent
    },
    async [Symbol.asyncDispose]() {
      for (const replica of replicas) replica.kill("SIGKILL")
      await nats.close()
    },
  }
}

/** Sends batches, and resolves each at its second equal reply. */
class Floor {
  readonly #nats: NatsConnection
  readonly #inbox = createInbox()
  readonly #waiting = new Map<number, { first?: Buffer; done: () => void }>()
  readonly #ackInbox = createInbox()
  #number = 0

  constructor(nats: NatsConnection) {
    this.#nats = nats
    nats.subscribe(this.#inbox, { callback: (_, message) => this.#reply(message.data) })
    nats.subscribe(this.#ackInbox, { callback: () => undefined })
  }

  send(keys: ReadonlyArray<string>): Promise<void> {
    const number = this.#number++
    const size = 9 + this.#inbox.length + keys.reduce((sum, key) => sum + 5 + key.length, 0)
    const bytes = Buffer.allocUnsafe(size)
    bytes.writeUInt32LE(keys.length, 0)
    bytes.writeUInt32LE(number, 4)
    bytes.writeUInt8(this.#inbox.length, 8)
    let at = 9 + bytes.write(this.#inbox, 9, "latin1")
    for (const key of keys) {
      bytes.writeUInt8(key.length, at)
      at += 1 + bytes.write(key, at + 1, "latin1")
      at = bytes.writeUInt32LE(1, at)
    }
    return new Promise((done) => {
      this.#waiting.set(number, { done })
      this.#nats.publish("floor.in", bytes, { reply: this.#ackInbox })
    })
  }

  #reply(data: Uint8Array): void {
    const reply = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    const number = reply.readUInt32LE(0)
    const waiting = this.#waiting.get(number)
    if (waiting === undefined) return
    if (waiting.first === undefined) waiting.first = Buffer.from(reply)
    else if (waiting.first.equals(reply)) {
      this.#waiting.delete(number)
      waiting.done()
    }
  }
}

async function startReplica(servers: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [...process.execArgv, PROGRAM, servers, "FLOOR"], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  await once(child.stdout, "data")
  return child
}
