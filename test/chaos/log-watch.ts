import { jetstreamManager } from "@nats-io/jetstream"
import type { NatsConnection } from "@nats-io/transport-node"

const EVERY_MS = 500

/** Looks at the log's length all the time. A server that is struck may answer with what was, or not at all. */
export class LogWatch {
  readonly #referee: NatsConnection
  readonly #stream: string
  readonly #timer: NodeJS.Timeout
  /** Entries that it held at most, and the last time. */
  entriesMax = 0
  entries = 0
  bytesMax = 0
  /** The first entry that it still holds. */
  firstSeq = 0
  /** How often the first entry had become a later one. */
  truncations = 0

  constructor(referee: NatsConnection, stream: string) {
    this.#referee = referee
    this.#stream = stream
    // not to know is no failure: the next look is soon
    this.#timer = setInterval(() => void this.look().catch(() => undefined), EVERY_MS)
  }

  async look(): Promise<void> {
    const { streams } = await jetstreamManager(this.#referee, { timeout: EVERY_MS, checkAPI: false })
    const { state } = await streams.info(this.#stream)
    this.entries = state.messages
    this.entriesMax = Math.max(this.entriesMax, state.messages)
    this.bytesMax = Math.max(this.bytesMax, state.bytes)
    if (state.first_seq <= this.firstSeq) return
    if (this.firstSeq > 0) this.truncations++
    this.firstSeq = state.first_seq
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
