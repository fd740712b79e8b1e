import type { Entry, GroupName, Partition, Roster } from "@lockstep/core"
import { createInbox, type Msg, nuid, type Subscription } from "@nats-io/transport-node"
import type { Connection } from "./connection.ts"
import { Patience } from "./patience.ts"
import { streamState } from "./stream.ts"
import { streamName } from "./subjects.ts"

export interface TailHandlers {
  /** Attached to the log: the first time, and each time again. */
  onAttached(log: {
    readonly logId: string
    readonly firstSeq: number
    readonly lastSeq: number
    readonly roster: Roster
    readonly rosterSince: number | undefined
  }): void
  /** The log could not be attached to; it is tried again and again. Told once for each time that it is away. */
  onAway(detail: string): void
  /** All entries that arrived in one turn of the event loop, in order of delivery; those that were in the log at the attachment apart. */
  onEntries(entries: ReadonlyArray<Entry>): void
}

export interface Tail {
  /** Entries that are still to come, as the log's server said with the last one that came. */
  readonly pending: number
  /** Attaches to the log again, from wherever `from()` says then. */
  reattach(): void
  close(): void
}

/** Without an entry or a heartbeat for this long, the consumer is taken for dead, milliseconds. */
export const SILENCE_MS_MAX = 1250
/** Without an entry for this long, whoever leads the log is asked whether there are more, milliseconds. */
const IDLE_MS_MAX = 2500
const HEARTBEAT_MS = 500
/** How often it is looked whether there was one. */
const WATCH_MS = HEARTBEAT_MS / 2
const RETRY_MS = 100
const BATCH_ENTRIES_MAX = 1024

/**
 * Delivers the entries of one partition, by a push consumer of its own that is made anew whenever it falls silent, or a delivery
 * of it was lost between two servers, or the log goes on without it. It judges nothing: what is missing or repeated then is so in
 * the log, and that is the protocol's to find. (The client library's ordered consumer can stay silent for over a minute after the
 * server that hosted it died.)
 */
export function openTail(
  connection: Connection,
  log: { readonly group: GroupName; readonly partition: Partition; readonly from: () => number },
  handlers: TailHandlers,
): Tail {
  return new PushTail(connection, streamName(log.group, log.partition), log.from, handlers)
}

class PushTail implements Tail {
  readonly #connection: Connection
  readonly #stream: string
  readonly #from: () => number
  readonly #handlers: TailHandlers
  readonly #patience: Patience
  readonly #stopWatching: () => void
  readonly #watchdog: NodeJS.Timeout
  /** Counts attachments: what belongs to an earlier one is ignored. */
  #attempt = 0
  #consumer: { readonly name: string; readonly subscription: Subscription } | undefined
  /** How many deliveries of the consumer arrived. It numbers them from 1, so that one which did not arrive shows. */
  #arrived = 0
  #pending = 0
  #heardAtMs = performance.now()
  /** When an entry came last, or whoever leads the log said where it ends. */
  #currentAtMs = performance.now()
  #asking = false
  /** Where the log ended when that was asked last. */
  #endSeq = 0
  /** The last entry that came; before the first, the one before which it was asked to begin. */
  #arrivedSeq = 0
  #watchedAtMs = performance.now()
  #batch: Array<Entry> = []
  /** The last entry that was in the log at the attachment. */
  #lastSeq = 0
  #closed = false
  #away = false

  constructor(connection: Connection, stream: string, from: () => number, handlers: TailHandlers) {
    this.#connection = connection
    this.#stream = stream
    this.#from = from
    this.#handlers = handlers
    this.#patience = new Patience(() => connection.leave())
    this.#stopWatching = connection.onReconnect(() => this.reattach())
    this.#watchdog = setInterval(() => this.#watch(performance.now()), WATCH_MS)
    this.reattach()
  }

  /** Those of the current turn of the event loop are still to come. */
  get pending(): number {
    return this.#pending + this.#batch.length
  }

  reattach(): void {
    if (this.#closed) return
    this.#detach()
    void this.#attach(++this.#attempt)
  }

  close(): void {
    this.#closed = true
    this.#attempt++
    clearInterval(this.#watchdog)
    this.#stopWatching()
    this.#detach()
  }

  /** Looks whether the consumer is silent. What this process did not listen to, because it was busy, is no silence. */
  #watch(nowMs: number): void {
    const lateMs = nowMs - this.#watchedAtMs - WATCH_MS
    this.#watchedAtMs = nowMs
    if (lateMs > WATCH_MS) this.#heardAtMs = Math.min(nowMs, this.#heardAtMs + lateMs)
    if (this.#consumer === undefined) return
    if (nowMs - this.#heardAtMs > SILENCE_MS_MAX) this.reattach()
    else if (nowMs - this.#currentAtMs > IDLE_MS_MAX && !this.#asking) void this.#askForEnd(this.#attempt)
  }

  /**
   * Asks where the log ends. A consumer whose server is cut off from the others, or lags behind them, sends heartbeats like any other
   * that has nothing to deliver: only whoever leads the log knows better.
   */
  async #askForEnd(attempt: number): Promise<void> {
    this.#asking = true
    this.#patience.asked(performance.now())
    try {
      const { lastSeq, isLed } = await streamState(this.#connection, this.#stream)
      if (!isLed) return
      this.#patience.answered()
      if (attempt !== this.#attempt) return
      this.#currentAtMs = performance.now()
      // what was there when it was asked before has had the time to come
      if (this.#endSeq > this.#arrivedSeq) this.reattach()
      else this.#endSeq = lastSeq
    } catch {
      // nobody can say just now: asked again at the next look, and of another server when patience ends
    } finally {
      this.#asking = false
    }
  }

  async #attach(attempt: number): Promise<void> {
    this.#patience.asked(performance.now())
    try {
      const state = await streamState(this.#connection, this.#stream)
      if (attempt !== this.#attempt) return
      this.#lastSeq = state.lastSeq
      this.#handlers.onAttached(state)
      if (attempt !== this.#attempt) return
      const inbox = createInbox()
      const name = nuid.next()
      const subscription = this.#connection.nats.subscribe(inbox, {
        callback: (error, message) => {
          if (error === null && attempt === this.#attempt) this.#receive(message)
        },
      })
      this.#consumer = { name, subscription }
      this.#arrived = 0
      this.#arrivedSeq = Math.max(state.firstSeq, this.#from()) - 1
      this.#endSeq = 0
      this.#currentAtMs = performance.now()
      this.#pending = Math.max(0, state.lastSeq - this.#from())
      this.#heardAtMs = performance.now()
      await this.#createConsumer(name, inbox)
      this.#away = false
      this.#patience.answered()
    } catch (cause) {
      // JetStream is not to be had at this moment (no leader, no connection, no stream): try again until it is, or until close()
      if (attempt === this.#attempt && !this.#away) {
        this.#away = true
        this.#handlers.onAway(cause instanceof Error ? cause.message : String(cause))
      }
      setTimeout(() => {
        if (attempt === this.#attempt) this.reattach()
      }, RETRY_MS)
    }
  }

  async #createConsumer(name: string, inbox: string): Promise<void> {
    const request = {
      stream_name: this.#stream,
      config: {
        name,
        deliver_subject: inbox,
        deliver_policy: "by_start_sequence",
        opt_start_seq: Math.max(1, this.#from()),
        ack_policy: "none",
        flow_control: true,
        idle_heartbeat: HEARTBEAT_MS * 1e6,
        max_deliver: 1,
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: 10e9,
      },
    }
    const reply = await this.#connection.nats.request(
      `$JS.API.CONSUMER.CREATE.${this.#stream}.${name}`,
      JSON.stringify(request),
      { timeout: 2000 },
    )
    const answer = reply.json<{ readonly error?: { readonly description?: string } }>()
    if (answer.error !== undefined) throw new Error(answer.error.description ?? "the consumer was refused")
  }

  #detach(): void {
    const consumer = this.#consumer
    this.#consumer = undefined
    this.#batch = []
    if (consumer === undefined || this.#connection.nats.isClosed()) return
    consumer.subscription.unsubscribe()
    this.#connection.nats.publish(`$JS.API.CONSUMER.DELETE.${this.#stream}.${consumer.name}`)
  }

  #receive(message: Msg): void {
    this.#heardAtMs = performance.now()
    // what the server says of itself has no payload: headers of entries, which cost 12 µs to read, are never looked at
    if (message.data.length === 0 && message.headers?.code === 100) return this.#control(message)
    const delivery = deliveryOf(message)
    if (delivery === undefined) return
    const { ordinal, entry, pending } = delivery
    this.#pending = pending
    this.#currentAtMs = this.#heardAtMs
    this.#arrivedSeq = entry.seq
    if (ordinal !== ++this.#arrived) return this.reattach()
    if (this.#batch.length === 0) queueMicrotask(() => this.#deliver())
    this.#batch.push(entry)
    if (entry.seq === this.#lastSeq || this.#batch.length >= BATCH_ENTRIES_MAX) this.#deliver()
  }

  #deliver(): void {
    const entries = this.#batch
    if (entries.length === 0) return
    this.#batch = []
    this.#handlers.onEntries(entries)
  }

  /** A heartbeat, or the server's question whether we keep up: answered once everything before it is executed. */
  #control(message: Msg): void {
    // a heartbeat says how many deliveries went before it
    if (Number(message.headers?.get("Nats-Last-Consumer")) > this.#arrived) return this.reattach()
    const stalled = message.headers?.get("Nats-Consumer-Stalled")
    const answerTo = message.reply !== undefined && message.reply !== "" ? message.reply : stalled
    if (answerTo === undefined || answerTo === "") return
    this.#deliver()
    this.#connection.publish(answerTo, NOTHING)
  }
}

const NOTHING = new Uint8Array(0)

/** `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<timestamp ns>.<pending>`, or with a domain before. */
function deliveryOf(
  message: Msg,
): { readonly ordinal: number; readonly entry: Entry; readonly pending: number } | undefined {
  const text = message.reply
  if (text === undefined || !text.startsWith("$JS.")) return undefined
  const count = findDots(text)
  const offset = count >= 11 ? 2 : 0
  const seq = Number(tokenAt(text, 5 + offset))
  const time = tokenAt(text, 7 + offset)
  if (!Number.isSafeInteger(seq) || time === "") return undefined
  return {
    ordinal: Number(tokenAt(text, 6 + offset)),
    pending: Number(tokenAt(text, 8 + offset)) || 0,
    entry: { seq, timeNs: BigInt(time), source: sourceOf(message.subject), payload: message.data },
  }
}

/** The server delivers to our inbox under the entry's own subject: `cmd.<group>.<partition>.<source>`. */
function sourceOf(subject: string): string {
  let start = 0
  for (let left = 3; left > 0; left--) start = subject.indexOf(".", start) + 1
  return subject.slice(start)
}

/** Where the dots of the text were that was looked at last. (To split it took a replica twice as long: every entry is one.) */
const dots: Array<number> = []

function findDots(text: string): number {
  let count = 0
  for (let at = text.indexOf("."); at !== -1; at = text.indexOf(".", at + 1)) dots[count++] = at
  dots[count] = text.length
  return count
}

/** One of the tokens of that text, counted from 0. */
function tokenAt(text: string, index: number): string {
  return text.slice((dots[index - 1] ?? -1) + 1, dots[index])
}
