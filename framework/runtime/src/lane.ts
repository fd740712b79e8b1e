import type { ClientId, LockstepError } from "@lockstep/core"
import {
  type Appender,
  type AppendResult,
  type Asker,
  type Connection,
  LogUnavailable,
  openAppender,
  openAsker,
  readRoster,
} from "@lockstep/nats"
import type {
  ClientCounts,
  ClientInput,
  ClientOptions,
  ClientOutput,
  Dissent,
  ReplicationMode,
} from "@lockstep/replication"
import { ROOT_CONTEXT } from "@opentelemetry/api"
import { tell } from "./listener.ts"
import { askSubject, noticeSubject, voter, votesSubject } from "./subjects.ts"
import { Calls } from "./telemetry/calls.ts"
import { NoQuorums } from "./telemetry/no-quorums.ts"
import { LaneMetrics } from "./telemetry/lane-metrics.ts"
import { surroundings } from "./telemetry/joining.ts"
import { isTold } from "./telemetry/notice.ts"
import { type LaneCall, type Turn, Waiting } from "./waiting.ts"

/** How often the protocol is told the time while anything waits, milliseconds. */
const TICK_MS = 20

/** The shell around one client protocol: the commands of one client to one partition, of classes that share a mode. */
export class Lane {
  readonly #protocol
  readonly #options: ClientOptions
  readonly #connection: Connection
  readonly #onDissent: (dissent: Dissent) => void
  readonly #appender: Appender
  readonly #asker: Asker
  readonly #calls: Calls
  readonly #noQuorums: NoQuorums
  /** Where anybody measures. */
  readonly #metrics: LaneMetrics | undefined
  readonly #stops: Array<() => void>
  /** Calls of this turn. */
  #gathered: Array<Waiting> = []
  /** The one in which they are gathered. */
  #turn: Turn = { startMs: 0, overlooked: undefined }
  /** When the last input came. */
  #nowMs = 0
  #timer: NodeJS.Timeout | undefined
  #refreshing = false

  constructor(lane: {
    readonly mode: ReplicationMode
    readonly options: ClientOptions
    readonly connection: Connection
    readonly onDissent: (dissent: Dissent) => void
    readonly baggage: ReadonlyArray<string>
  }) {
    const { group, partition, client } = lane.options
    this.#options = lane.options
    this.#noQuorums = new NoQuorums({ mode: lane.mode, group, partition })
    this.#calls = new Calls({
      mode: lane.mode,
      group,
      partition,
      client,
      replicas: lane.options.roster.voters.length,
      baggage: lane.baggage,
      notify: (notice) => lane.connection.publish(noticeSubject(group, partition), notice),
    })
    const { voters } = lane.options.roster
    this.#metrics = LaneMetrics.of({
      group,
      partition,
      voters,
      counts: () => this.counts,
      margin: () => this.#protocol.margin?.(performance.now()),
    })
    this.#connection = lane.connection
    this.#onDissent = lane.onDissent
    this.#protocol = lane.mode.client<Waiting>(lane.options)
    this.#appender = openAppender(
      lane.connection,
      { group, partition, writer: { client } },
      (token, result) => this.#appended(token, result),
    )
    this.#asker = openAsker(lane.connection, (token) =>
      this.#step({ _tag: "Unheard", token, nowMs: performance.now() }),
    )
    this.#stops = [
      () => this.#metrics?.close(),
      () => this.#asker.close(),
      lane.connection.subscribe(votesSubject(group, client), (subject, bytes) => {
        const from = voter(subject)
        if (isTold(bytes)) return this.#calls.told(from, bytes)
        return this.#step({ _tag: "Vote", from, bytes, nowMs: performance.now() })
      }),
      lane.connection.onReconnect(() => this.#step({ _tag: "Reconnected", nowMs: performance.now() })),
    ]
  }

  get client(): ClientId {
    return this.#options.client
  }

  get counts(): ClientCounts {
    return this.#protocol.counts
  }

  /** Sends one call. Calls of one turn of the event loop share a message, and a time. */
  invoke(call: LaneCall): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const place = this.#gathered.length
      if (place === 0) {
        this.#turn = { startMs: performance.now(), overlooked: undefined }
        queueMicrotask(() => {
          this.#submit()
          this.#step({ _tag: "Flush", nowMs: performance.now() })
        })
      }
      const made = { parent: surroundings(), turn: this.#turn, place }
      this.#gathered.push(new Waiting(call, { resolve, reject }, made))
    })
  }

  /** Hands what was gathered to the protocol. */
  #submit(): void {
    const gathered = this.#gathered
    this.#gathered = []
    this.#calls.begin(gathered, this.#turn)
    this.#step({ _tag: "Submit", calls: gathered, nowMs: this.#turn.startMs })
  }

  /** Waits again for a call that ended undecided. */
  retry(number: number, call: LaneCall): Promise<unknown> {
    // its first attempt was traced and measured, and has ended
    const made = { parent: ROOT_CONTEXT, turn: undefined, place: 0 }
    return new Promise((resolve, reject) =>
      this.#step({
        _tag: "Retry",
        number,
        call: new Waiting(call, { resolve, reject }, made),
        nowMs: performance.now(),
      }),
    )
  }

  close(): void {
    this.#submit()
    this.#step({ _tag: "Close", nowMs: performance.now() })
    clearTimeout(this.#timer)
    this.#appender.close()
    this.#calls.close()
    for (const stop of this.#stops) stop()
  }

  /** Tells the callers of all that was decided together. */
  #settle(settled: ClientOutput<Waiting> & { readonly _tag: "Settle" }): void {
    const [metrics, nowMs] = [this.#metrics, this.#nowMs]
    this.#calls.settled(settled, nowMs)
    const { outcomes, decision } = settled
    for (let index = 0; index < outcomes.length; index++) {
      const [waiting, outcome] = [settled.calls[index], outcomes[index]]
      if (waiting === undefined || outcome === undefined) continue
      const { call, sinceMs } = waiting
      if (metrics !== undefined && sinceMs !== undefined)
        metrics.settled(call, { outcome, decision, sinceMs, nowMs })
      waiting.settle(outcome)
    }
  }

  #fail(failed: ClientOutput<Waiting> & { readonly _tag: "Fail" }): void {
    const { call: waiting, error } = failed
    this.#noQuorums.failed(error, this.#calls.failed(failed, this.#nowMs))
    if (this.#metrics !== undefined && waiting.sinceMs !== undefined)
      this.#metrics.failed(waiting.call, error, this.#nowMs - waiting.sinceMs)
    calls.set(error, { lane: this, call: waiting.call })
    waiting.reject(error)
  }

  #step(input: ClientInput<Waiting>): void {
    if (input._tag !== "Appended") this.#nowMs = input.nowMs
    for (const output of this.#protocol.step(input)) this.#carryOut(output)
    this.#calls.tell()
    this.#noQuorums.tell()
    if (this.#protocol.busy) this.#timer ??= setTimeout(() => this.#tick(), TICK_MS)
  }

  #appended(token: number, result: AppendResult): void {
    const nowMs = performance.now()
    if (result._tag === "Appended") this.#metrics?.appended(token, nowMs)
    this.#step(appendInput(token, result, nowMs))
  }

  #tick(): void {
    this.#timer = undefined
    this.#step({ _tag: "Tick", nowMs: performance.now() })
  }

  /** Looks whether others vote by now. Where that cannot be read, the protocol asks again. */
  async #refresh(): Promise<void> {
    if (this.#refreshing) return
    this.#refreshing = true
    try {
      const roster = await readRoster(this.#connection, this.#options)
      this.#step({ _tag: "Roster", roster, nowMs: performance.now() })
    } catch (cause) {
      if (!(cause instanceof LogUnavailable)) throw cause
    } finally {
      this.#refreshing = false
    }
  }

  #carryOut(output: ClientOutput<Waiting>): void {
    switch (output._tag) {
      case "Append":
        this.#calls.sent(output.calls, this.#nowMs)
        if (output.calls.length > 0) this.#metrics?.appending(output.token, this.#nowMs)
        return this.#appender.append(output.bytes, output.token)
      case "Ask": {
        const subject = askSubject(this.#options.group, this.#options.partition, output.replica)
        if (output.calls !== undefined) this.#calls.sent(output.calls, this.#nowMs)
        if (output.token === undefined) return this.#connection.publish(subject, output.bytes)
        return this.#asker.ask(subject, output.bytes, output.token)
      }
      case "Settle":
        return this.#settle(output)
      case "Fail":
        return this.#fail(output)
      case "Refresh":
        return void this.#refresh()
      case "Late":
        return this.#calls.late(output)
      case "Dissent":
        this.#calls.heard(output)
        return tell(this.#onDissent, dissentOf(output))
    }
  }
}

/** The call that an error is about, so that it can be retried. */
export function callOf(error: LockstepError): { readonly lane: Lane; readonly call: LaneCall } | undefined {
  return calls.get(error)
}

const calls = new WeakMap<LockstepError, { readonly lane: Lane; readonly call: LaneCall }>()

/** What the user is told. */
function dissentOf({ replica, seq, expected, actual }: Dissent): Dissent {
  return { replica, seq, expected, actual }
}

function appendInput(token: number, result: AppendResult, nowMs: number): ClientInput<Waiting> {
  switch (result._tag) {
    case "Appended":
      return { _tag: "Appended", token, seq: result.seq }
    case "Refused":
      return { _tag: "AppendRefused", token, detail: result.detail, nowMs }
    case "Unknown":
      return { _tag: "AppendUnknown", token, nowMs }
  }
}
