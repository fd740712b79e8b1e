import {
  BatchWriter,
  decodeEnvelope,
  decodeOutcomes,
  decodeStatement,
  decodeVote,
  Diverged,
  encodeAsk,
  encodeOpening,
  HEADER_BYTES_MAX,
  InvalidArgument,
  invariant,
  type LockstepError,
  Malformed,
  NoQuorum,
  type Outcome,
  OutcomeUnknown,
  Overloaded,
  type ReplicaId,
  SessionExpired,
  SessionId,
  type Statement,
  type Vote,
} from "@lockstep/core"
import type { ClientCounts, ClientInput, ClientOptions, ClientOutput, ClientProtocol } from "../mode.ts"
import { Ballot } from "./ballot.ts"

/** An entry that the log has not confirmed is sent again after this long. */
export const APPEND_AGAIN_MS = 1000
/** The same, where the log said that it does not know. */
export const APPEND_UNKNOWN_MS = 100
/** Votes that are missing are asked for after this long, then half as often each time. */
export const ASK_MS = 100
export const ASK_MS_MAX = 1000
/** Bytes of outcomes that nobody sent are asked for after this long. */
export const ASK_BYTES_MS = 20
/** Decided batches that are remembered for the sake of votes that come late. */
const SETTLED_MAX = 1024

/**
 * The caller's side of the state machine mode, in one partition: commands in, decisions out. It believes f+1 equal votes of
 * distinct replicas and nothing else; whatever else it is told can only cost time.
 */
export class StateMachineClient<Call> implements ClientProtocol<Call> {
  readonly #options: ClientOptions
  readonly #needed: number
  /** Commands that are not yet in an entry; the last batch is still open. */
  readonly #queue: Array<Draft<Call>> = []
  /** Entries that are not decided, by number. */
  readonly #inFlight = new Map<number, Pending<Call>>()
  /** Entries whose callers were told that they are undecided. They may still be decided, and be asked for again. */
  readonly #undecided = new Map<number, Pending<Call>>()
  /** Decided entries, for votes that come late. */
  readonly #settled = new Map<number, Ballot>()
  /** Statements of votes that were understood and are ours. */
  readonly #understood = new Map<string, Statement>()
  readonly #spareWriters: Array<BatchWriter> = []
  #session: SessionId | undefined
  #number = 0
  #commands = 0
  #bytes = 0
  #counts = { batches: 0, commands: 0, matched: 0, strangers: 0, appendedAgain: 0, asked: 0 }
  readonly #dissents = new Map<ReplicaId, number>()
  #outputs: Array<ClientOutput<Call>> = []

  constructor(options: ClientOptions, needed: number) {
    this.#options = options
    this.#needed = needed
  }

  get busy(): boolean {
    return this.#queue.length > 0 || this.#inFlight.size > 0
  }

  get counts(): ClientCounts {
    return { ...this.#counts, dissents: this.#dissents }
  }

  step(input: ClientInput<Call>): ReadonlyArray<ClientOutput<Call>> {
    switch (input._tag) {
      case "Submit":
        this.#submit(input)
        break
      case "Flush":
        this.#dispatch(input.nowMs)
        break
      case "Vote":
        this.#vote(input.from, input.bytes, input.nowMs)
        break
      case "Appended":
        this.#appended(input.token, input.seq)
        break
      case "AppendRefused":
        this.#appendRefused(input.token, input.detail, input.nowMs)
        break
      case "AppendUnknown":
        this.#appendUnknown(input.token, input.nowMs)
        break
      case "Reconnected":
        for (const pending of this.#inFlight.values()) pending.appendAtMs = pending.askAtMs = input.nowMs
        this.#tick(input.nowMs)
        break
      case "Retry":
        this.#retry(input.number, input.call, input.nowMs)
        break
      case "Tick":
        this.#tick(input.nowMs)
        break
      case "Close":
        this.#close(input.nowMs)
        break
    }
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  // --- commands to entries

  #submit(input: ClientInput<Call> & { _tag: "Submit" }): void {
    const { limits } = this.#options
    const size = input.args.length + COMMAND_OVERHEAD_BYTES
    if (size + HEADER_BYTES_MAX > limits.batchBytesMax)
      return this.#fail(
        input.call,
        new InvalidArgument(
          `${input.type}/${input.member}`,
          `the arguments take ${input.args.length} bytes, and ${limits.batchBytesMax - HEADER_BYTES_MAX - COMMAND_OVERHEAD_BYTES} are allowed`,
        ),
      )
    if (this.#commands >= limits.commandsMax || this.#bytes + size > limits.bytesMax)
      return this.#fail(
        input.call,
        new Overloaded(
          `${this.#commands} commands (${this.#bytes} bytes) of this client wait already; the limits are ${limits.commandsMax} commands and ${limits.bytesMax} bytes`,
        ),
      )
    let draft = this.#queue.at(-1)
    if (
      draft === undefined ||
      draft.writer.count >= limits.batchCommandsMax ||
      draft.writer.sizeBytes + size > limits.batchBytesMax
    ) {
      draft = { writer: this.#spareWriters.pop() ?? new BatchWriter(), calls: [], bytes: 0, deadlineMs: input.nowMs + limits.deadlineMs }
      this.#queue.push(draft)
    }
    draft.writer.add(input.type, input.member, input.key, input.args, input.trace)
    draft.calls.push(input.call)
    draft.bytes += size
    this.#commands++
    this.#bytes += size
  }

  /** Sends what waits, as far as the session and the window allow. */
  #dispatch(nowMs: number): void {
    while (this.#queue.length > 0 && this.#inFlight.size < this.#options.limits.windowMax) {
      if (this.#session === undefined) return this.#openSession(nowMs)
      const draft = this.#queue.shift()
      if (draft === undefined) return
      const number = this.#number
      const count = draft.calls.length
      this.#number += count
      const payload = draft.writer.seal({
        client: this.#options.client,
        session: this.#session,
        number,
        settledBelow: Math.min(number, this.#floor()),
      })
      this.#spareWriters.push(draft.writer)
      this.#counts.batches++
      this.#counts.commands += count
      this.#append(this.#pending(draft, { session: this.#session, number, count, payload }), nowMs)
    }
  }

  /** An opening that is lost is not repeated: another one is sent, and whichever is decided first counts. */
  #openSession(nowMs: number): void {
    for (const pending of this.#inFlight.values()) if (pending.count === 0) return
    const number = this.#number++
    const payload = encodeOpening({ client: this.#options.client, number })
    const draft = { calls: [], bytes: 0, deadlineMs: nowMs + APPEND_AGAIN_MS }
    this.#append(this.#pending(draft, { session: SessionId(0), number, count: 0, payload }), nowMs)
  }

  #pending(
    draft: Pick<Draft<Call>, "calls" | "bytes" | "deadlineMs">,
    entry: Pick<Pending<Call>, "session" | "number" | "count" | "payload">,
  ): Pending<Call> {
    return {
      ...entry,
      calls: draft.calls,
      bytes: draft.bytes,
      deadlineMs: draft.deadlineMs,
      ballot: this.#ballot(entry.count),
      appends: 0,
      ackedSeq: undefined,
      appendAtMs: 0,
      askAtMs: 0,
      asks: 0,
    }
  }

  #append(pending: Pending<Call>, nowMs: number): void {
    if (pending.appends++ > 0) this.#counts.appendedAgain++
    pending.appendAtMs = nowMs + APPEND_AGAIN_MS
    pending.askAtMs = Math.max(pending.askAtMs, nowMs + ASK_MS)
    this.#inFlight.set(pending.number, pending)
    this.#outputs.push({ _tag: "Append", token: pending.number, bytes: pending.payload })
  }

  /** Every number below it is settled, so replicas may forget those answers. */
  #floor(): number {
    let floor = this.#number
    for (const number of this.#inFlight.keys()) floor = Math.min(floor, number)
    for (const [number, pending] of this.#undecided)
      if (pending.ballot.decided === undefined) floor = Math.min(floor, number)
    return floor
  }

  // --- what the log says

  #appended(token: number, seq: number): void {
    const pending = this.#inFlight.get(token) ?? this.#undecided.get(token)
    if (pending !== undefined) pending.ackedSeq ??= seq
  }

  #appendRefused(token: number, detail: string, nowMs: number): void {
    const pending = this.#inFlight.get(token)
    if (pending === undefined || pending.ackedSeq !== undefined) return
    // An earlier copy may have been accepted without our knowing: only a first copy's refusal says "not executed".
    if (pending.appends > 1) return this.#appendUnknown(token, nowMs)
    this.#forget(pending)
    if (pending.count === 0) this.#failQueue(detail)
    for (const call of pending.calls)
      if (call !== undefined) this.#fail(call, new Overloaded(`The log refused the command: ${detail}`))
    this.#dispatch(nowMs)
  }

  #appendUnknown(token: number, nowMs: number): void {
    const pending = this.#inFlight.get(token)
    if (pending !== undefined && pending.ackedSeq === undefined) pending.appendAtMs = nowMs + APPEND_UNKNOWN_MS
  }

  // --- votes to decisions

  #vote(from: string, bytes: Uint8Array, nowMs: number): void {
    const understood = this.#understand(from, bytes)
    if (understood === undefined) {
      this.#counts.strangers++
      return
    }
    const { vote, statement } = understood
    const pending = this.#inFlight.get(statement.number)
    if (pending === undefined) return this.#lateVote(statement.number, vote)
    // The opening of a session is answered with the session's id; everything else with the session that asked.
    if (statement.count !== pending.count || (pending.count > 0 && statement.session !== pending.session)) {
      this.#counts.strangers++
      return
    }
    pending.ballot.add(vote)
    switch (pending.ballot.standing._tag) {
      case "Waiting":
        return
      case "Impossible":
        return this.#giveUp(pending, "Diverged")
      case "Decided": {
        const outcomes = pending.ballot.decided
        if (outcomes === undefined) pending.askAtMs = Math.min(pending.askAtMs, nowMs + ASK_BYTES_MS)
        else this.#decide(pending, outcomes, nowMs)
      }
    }
  }

  /** The vote, if it is one, of a member, under its own name, about this group, log and client. */
  #understand(from: string, bytes: Uint8Array): { vote: Vote; statement: Statement } | undefined {
    try {
      const vote = decodeVote(bytes)
      if (vote.replica !== from || !this.#options.replicas.includes(vote.replica)) return undefined
      let statement = this.#understood.get(vote.statement)
      if (statement === undefined) {
        statement = decodeStatement(vote.statement)
        const { group, epoch, partition, client } = this.#options
        if (
          statement.group !== group ||
          statement.epoch !== epoch ||
          statement.partition !== partition ||
          statement.client !== client
        )
          return undefined
        this.#understood.set(vote.statement, statement)
        if (this.#understood.size > 2 * SETTLED_MAX) dropFirst(this.#understood)
      }
      return { vote, statement }
    } catch (cause) {
      if (cause instanceof Malformed) return undefined
      throw cause
    }
  }

  /** The callers have been told: of the decision, or that there is none, in which case a retry will find the vote. */
  #lateVote(number: number, vote: Vote): void {
    this.#undecided.get(number)?.ballot.add(vote)
    const ballot = this.#settled.get(number)
    if (ballot === undefined || ballot.standing._tag !== "Decided" || ballot.add(vote) !== "counted") return
    if (vote.statement === ballot.standing.statement) this.#counts.matched++
    else this.#dissent(ballot, vote.replica)
    if (ballot.missing.length === 0) this.#settled.delete(number)
  }

  #decide(pending: Pending<Call>, bytes: Buffer, nowMs: number): void {
    this.#forget(pending)
    const { ballot } = pending
    const standing = ballot.standing
    invariant(standing._tag === "Decided", "only a decided batch is settled")
    this.#counts.matched += ballot.holders.length
    for (const { replica } of ballot.dissents()) this.#dissent(ballot, replica)
    if (ballot.missing.length > 0) this.#settled.set(pending.number, ballot)
    if (this.#settled.size > SETTLED_MAX) dropFirst(this.#settled)
    const statement = this.#understood.get(standing.statement) ?? decodeStatement(standing.statement)
    if (pending.count === 0) this.#session ??= statement.session
    else this.#settle(pending, decodeOutcomes(bytes, pending.count), statement.seq)
    this.#dispatch(nowMs)
  }

  #settle(pending: Pending<Call>, outcomes: ReadonlyArray<Outcome>, seq: number): void {
    const [first] = outcomes
    if (first?._tag === "Refused" && first.reason === "SessionExpired") return this.#expired(pending)
    for (const [i, call] of pending.calls.entries()) {
      const outcome = outcomes[i]
      invariant(outcome !== undefined, "a batch has an outcome for each command")
      if (call !== undefined) this.#outputs.push({ _tag: "Settle", call, outcome, seq })
    }
  }

  /**
   * The replicas forgot this session. A batch that was sent once has not been executed, then: it goes out again in a new
   * session, and the caller notices nothing. Of one that was sent more than once, nobody knows.
   */
  #expired(pending: Pending<Call>): void {
    if (this.#session === pending.session) this.#session = undefined
    if (pending.appends > 1) {
      for (const call of pending.calls)
        if (call !== undefined) this.#fail(call, new SessionExpired(`number ${pending.number}`))
      return
    }
    const envelope = decodeEnvelope(pending.payload)
    invariant(envelope._tag === "Batch", "what expires is a batch")
    const writer = new BatchWriter()
    for (const command of envelope.commands) {
      const method = envelope.methods[command.method]
      invariant(method !== undefined, "a batch of ours names its methods")
      writer.add(method.type, method.member, command.key, command.args, envelope.traces[command.trace])
    }
    this.#queue.unshift({ ...pending, writer })
    this.#commands += pending.count
    this.#bytes += pending.bytes
  }

  #dissent(ballot: Ballot, replica: ReplicaId): void {
    this.#dissents.set(replica, (this.#dissents.get(replica) ?? 0) + 1)
    const standing = ballot.standing
    const actual = ballot.votes.get(replica)
    if (standing._tag !== "Decided" || actual === undefined) return
    const expected = decodeStatement(standing.statement)
    this.#outputs.push({
      _tag: "Dissent",
      replica,
      seq: expected.seq,
      expected: expected.outcomes,
      actual: decodeStatement(actual).outcomes,
    })
  }

  // --- time

  #tick(nowMs: number): void {
    for (const pending of this.#inFlight.values()) {
      if (nowMs >= pending.deadlineMs) this.#expire(pending)
      else if (nowMs >= pending.askAtMs || nowMs >= pending.appendAtMs) this.#chase(pending, nowMs)
    }
    for (let draft = this.#queue[0]; draft !== undefined && nowMs >= draft.deadlineMs; draft = this.#queue[0]) {
      this.#queue.shift()
      this.#release(draft.calls.length, draft.bytes)
      for (const call of draft.calls)
        if (call !== undefined)
          this.#fail(call, new Overloaded("The log took no new entries until the call's deadline"))
    }
    this.#dispatch(nowMs)
  }

  #expire(pending: Pending<Call>): void {
    if (pending.count === 0) this.#forget(pending)
    else this.#giveUp(pending, pending.ackedSeq === undefined && !pending.ballot.ordered ? "OutcomeUnknown" : "NoQuorum")
  }

  /** Sends again what the log did not confirm, and asks for the votes, or the bytes, that are missing. */
  #chase(pending: Pending<Call>, nowMs: number): void {
    const { ballot } = pending
    if (pending.ackedSeq === undefined && !ballot.ordered && nowMs >= pending.appendAtMs)
      this.#append(pending, nowMs)
    if (pending.count === 0 || nowMs < pending.askAtMs) return
    const { holders } = ballot
    const next = holders[pending.asks % Math.max(1, holders.length)]
    for (const replica of next === undefined ? ballot.missing : [next]) {
      this.#counts.asked++
      const bytes = encodeAsk({ client: this.#options.client, session: pending.session, number: pending.number })
      this.#outputs.push({ _tag: "Ask", replica, bytes })
    }
    pending.askAtMs = nowMs + Math.min(ASK_MS * 2 ** pending.asks++, ASK_MS_MAX)
  }

  /** Tells the callers that there is no decision; the entry is remembered for a while, so that they can retry. */
  #giveUp(pending: Pending<Call>, tag: "Diverged" | "NoQuorum" | "OutcomeUnknown"): void {
    this.#forget(pending)
    for (const [i, call] of pending.calls.entries())
      if (call !== undefined) this.#fail(call, this.#undecidedError(pending, i, tag))
    pending.calls = pending.calls.map(() => undefined)
    this.#undecided.set(pending.number, pending)
    if (this.#undecided.size > this.#options.limits.undecidedMax) dropFirst(this.#undecided)
  }

  #undecidedError(pending: Pending<Call>, index: number, tag: "Diverged" | "NoQuorum" | "OutcomeUnknown") {
    const { ballot } = pending
    const testimonies = ballot.testimonies(index)
    const { partition } = this.#options
    const undecided = {
      needed: this.#needed,
      testimonies,
      missing: ballot.missing,
      command: { partition, session: pending.session, number: pending.number + index },
    }
    const seq = pending.ackedSeq ?? testimonies[0]?.seq ?? 0
    switch (tag) {
      case "Diverged":
        return new Diverged({ ...undecided, detail: `The replicas disagree on the command at ${seq}.` })
      case "NoQuorum":
        return new NoQuorum({ ...undecided, seq, detail: `Too few equal answers came to the command at ${seq}.` })
      case "OutcomeUnknown":
        return new OutcomeUnknown({ ...undecided, detail: "The log did not confirm the command in time." })
    }
  }

  #retry(number: number, call: Call, nowMs: number): void {
    const pending = this.#find(number)
    if (pending === undefined) return this.#fail(call, new SessionExpired(`number ${number}`))
    pending.calls[number - pending.number] = call
    if (this.#undecided.delete(pending.number)) {
      this.#inFlight.set(pending.number, pending)
      this.#commands += pending.count
      this.#bytes += pending.bytes
    }
    const outcomes = pending.ballot.decided
    if (outcomes !== undefined) return this.#decide(pending, outcomes, nowMs)
    // Replicas that were wrong may have been mended since: they are all asked anew.
    if (pending.ballot.standing._tag !== "Decided") pending.ballot = this.#ballot(pending.count)
    pending.deadlineMs = nowMs + this.#options.limits.deadlineMs
    pending.asks = 0
    pending.askAtMs = pending.appendAtMs = nowMs
    this.#chase(pending, nowMs)
  }

  /** The undecided batch that holds this number. */
  #find(number: number): Pending<Call> | undefined {
    for (const batches of [this.#undecided, this.#inFlight])
      for (const pending of batches.values())
        if (number >= pending.number && number < pending.number + pending.count) return pending
    return undefined
  }

  #ballot(count: number): Ballot {
    return new Ballot({ needed: this.#needed, replicas: this.#options.replicas, count })
  }

  #close(nowMs: number): void {
    for (const draft of this.#queue.splice(0)) {
      this.#release(draft.calls.length, draft.bytes)
      for (const call of draft.calls)
        if (call !== undefined) this.#fail(call, new Overloaded("The client was closed before it sent the command"))
    }
    for (const pending of this.#inFlight.values()) pending.deadlineMs = nowMs
    this.#tick(nowMs)
  }

  #failQueue(detail: string): void {
    for (const draft of this.#queue.splice(0)) {
      this.#release(draft.calls.length, draft.bytes)
      for (const call of draft.calls)
        if (call !== undefined) this.#fail(call, new Overloaded(`The log refused a session: ${detail}`))
    }
  }

  #forget(pending: Pending<Call>): void {
    if (this.#inFlight.delete(pending.number)) this.#release(pending.count, pending.bytes)
    this.#undecided.delete(pending.number)
  }

  #release(commands: number, bytes: number): void {
    this.#commands -= commands
    this.#bytes -= bytes
  }

  #fail(call: Call, error: LockstepError): void {
    this.#outputs.push({ _tag: "Fail", call, error })
  }
}

/** Bytes that a command takes in its batch beside its arguments, at most: key, numbers, and new names. */
const COMMAND_OVERHEAD_BYTES = 2048

/** A batch that is still gathered. */
interface Draft<Call> {
  readonly writer: BatchWriter
  readonly calls: Array<Call | undefined>
  bytes: number
  readonly deadlineMs: number
}

/** A batch that was sent. */
interface Pending<Call> {
  readonly number: number
  /** Commands; 0 for the opening of a session. */
  readonly count: number
  readonly session: SessionId
  readonly payload: Buffer
  readonly bytes: number
  /** Who waits for each command; undefined once told. */
  calls: Array<Call | undefined>
  ballot: Ballot
  deadlineMs: number
  /** How often it was sent to the log. */
  appends: number
  ackedSeq: number | undefined
  appendAtMs: number
  askAtMs: number
  asks: number
}

function dropFirst<Key>(map: Map<Key, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key)
    return
  }
}
