import {
  decodeOutcomes,
  decodeVote,
  encodeOpening,
  FifoMap,
  type LockstepError,
  Malformed,
  NotEnoughReplicas,
  type Outcome,
  OutcomeUnknown,
  Overloaded,
  type ReplicaId,
  SessionExpired,
  SessionId,
} from "@lockstep/core"
import type {
  ClientCounts,
  ClientInput,
  ClientOptions,
  ClientOutput,
  ClientProtocol,
  Reads,
  Submission,
} from "../mode.ts"
import type { Draft, Outbox } from "../outbox.ts"
import { Answers } from "./answers.ts"
import { Locator } from "./locator.ts"
import { Outboxes } from "./outboxes.ts"
import {
  isOutdated,
  mayBeExecuted,
  type Pending,
  pendingOf,
  renew,
  spared,
  takeBack,
  wholeOf,
} from "./pending.ts"
import { decodeReply, encodeQuestion, type Reply } from "./request.ts"
import { ADVICE, ASKED_AGAIN, TOO_LATE, UNRECORDED } from "./undecided.ts"
import { holds, Undecided } from "../undecided.ts"

/** What is not answered is sent again after this long, then half as often each time, milliseconds. */
const AGAIN_MS = 250
const AGAIN_MS_MAX = 2000
/** A batch that was sent so often without an answer may have been sent to nobody. */
const LOST_SENDS = 2

/** The caller's side of the primary-backup mode, in one partition: finds the primary, and sends it batches, each once. */
export class MasterClient<Call extends Submission> implements ClientProtocol<Call> {
  readonly #options: ClientOptions
  readonly #outboxes: Outboxes<Call>
  readonly #locator: Locator
  readonly #inFlight = new FifoMap<Pending<Call>>()
  /** Batches of which nobody knows what became; they may be asked for again. */
  readonly #undecided: Undecided<Pending<Call>>
  #session: SessionId | undefined
  #number = 0
  #token = 0
  /** The last position that this client was told of: what it reads is not older. */
  #known = 0
  #counts = { batches: 0, commands: 0, strangers: 0, appendedAgain: 0, asked: 0 }
  readonly #answers = new Answers()
  #outputs: Array<ClientOutput<Call>> = []

  constructor(options: ClientOptions) {
    this.#options = options
    this.#outboxes = new Outboxes(options.limits)
    this.#locator = new Locator(options.roster)
    this.#undecided = new Undecided(options.limits.undecidedMax)
  }

  get busy(): boolean {
    return this.#inFlight.size > 0 || !this.#outboxes.isEmpty
  }

  get counts(): ClientCounts {
    return { ...this.#counts, ...this.#answers.counts, ...this.#outboxes.counts }
  }

  step(input: ClientInput<Call>): ReadonlyArray<ClientOutput<Call>> {
    switch (input._tag) {
      case "Submit":
        for (const call of input.calls) {
          const error = this.#outboxes.for(call.reads).add(call, input.nowMs)
          if (error !== undefined) this.#fail(call, error)
        }
        break
      case "Flush":
        this.#dispatch(input.nowMs)
        break
      case "Vote":
        this.#hear(input.from, input.bytes, input.nowMs)
        break
      case "Unheard":
        this.#unheard(input.token, input.nowMs)
        break
      case "Reconnected":
        for (const pending of this.#inFlight.values()) pending.againAtMs = input.nowMs
        this.#locate(input.nowMs)
        this.#tick(input.nowMs)
        break
      case "Roster":
        if (this.#locator.adopt(input.roster)) this.#locate(input.nowMs)
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
      default: // nothing is appended here
    }
    if (this.#outputs.length === 0) return NOTHING
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  /** Sends what waits, as far as the session and the window allow. */
  #dispatch(nowMs: number): void {
    if (!this.busy) return
    if (this.#locator.primary === undefined) return this.#seek(nowMs)
    for (const { reads, outbox } of this.#outboxes.queries)
      while (this.#hasRoom)
        if (!this.#sendNext(outbox, { kind: "query", session: SessionId(0), reads }, nowMs)) break
    while (this.#hasRoom && !this.#outboxes.commands.isEmpty) {
      const session = this.#session
      if (session === undefined) return this.#openSession(nowMs)
      this.#sendNext(this.#outboxes.commands, { kind: "command", session, reads: "linearizable" }, nowMs)
    }
  }

  get #hasRoom(): boolean {
    return this.#inFlight.size < this.#options.limits.windowMax
  }

  #sendNext(
    outbox: Outbox<Call>,
    as: { readonly kind: "command" | "query"; readonly session: SessionId; readonly reads: Reads },
    nowMs: number,
  ): boolean {
    const draft = outbox.take()
    if (draft === undefined) return false
    const number = this.#number
    this.#number += draft.calls.length
    const settledBelow = as.kind === "query" ? 0 : Math.min(number, this.#floor())
    const { client } = this.#options
    const envelope = outbox.seal(draft, { client, session: as.session, number, settledBelow })
    this.#counts.batches++
    this.#counts.commands += draft.calls.length
    const { bytes, deadlineMs } = draft
    this.#send(pendingOf({ ...as, number, envelope, bytes, calls: [...draft.calls], deadlineMs }), nowMs)
    return true
  }

  #openSession(nowMs: number): void {
    for (const { kind } of this.#inFlight.values()) if (kind === "opening") return
    const number = this.#number++
    const envelope = encodeOpening({ client: this.#options.client, number })
    const deadlineMs = nowMs + this.#options.limits.deadlineMs
    const about = { number, session: 0, envelope, bytes: 0, deadlineMs }
    this.#send(pendingOf({ ...about, kind: "opening", calls: [], reads: "linearizable" }), nowMs)
  }

  /** To the primary; a query that may be old, to any replica. */
  #send(pending: Pending<Call>, nowMs: number): void {
    this.#inFlight.set(pending.number, pending)
    const { primary, epoch } = this.#locator
    pending.againAtMs = nowMs + Math.min(AGAIN_MS * 2 ** Math.min(pending.sends, 8), AGAIN_MS_MAX)
    if (primary === undefined) return this.#seek(nowMs)
    if (pending.sends++ > 0) this.#counts.appendedAgain++
    const { client } = this.#options
    const { envelope, kind, reads } = pending
    if (kind === "query") {
      const isBounded = reads !== "linearizable" && pending.sends === 1
      const maxStalenessMs = isBounded ? reads.maxStalenessMs : undefined
      const atLeast = this.#known
      const question = encodeQuestion({ _tag: "Read", client, epoch, maxStalenessMs, atLeast, envelope })
      return this.#ask(isBounded ? this.#locator.anyBackup(primary) : primary, question, pending.calls)
    }
    const { sentIn, isRetried } = pending
    const isFirst = sentIn === undefined || sentIn === epoch || isRetried || kind === "opening"
    const _tag = isRetried ? "ExecuteAgain" : isFirst ? "Execute" : "LookUp"
    if (_tag === "LookUp") return this.#ask(primary, encodeQuestion({ _tag, client, epoch, envelope }))
    pending.sentIn = epoch
    const token = this.#token++
    const bytes = encodeQuestion({ _tag, client, epoch, copy: token, envelope })
    pending.copies.add(token)
    this.#outputs.push({ _tag: "Ask", replica: primary, bytes, token, calls: pending.calls })
  }

  #ask(replica: ReplicaId, bytes: Uint8Array, calls: Pending<Call>["calls"] = []): void {
    this.#outputs.push({ _tag: "Ask", replica, bytes, calls })
  }

  /** Every number below it is settled, so replicas may forget those answers. */
  #floor(): number {
    let floor = this.#number
    for (const { number, kind } of this.#inFlight.values())
      if (kind === "command") floor = Math.min(floor, number)
    for (const { number } of this.#undecided.all) floor = Math.min(floor, number)
    return floor
  }

  /** Asks everybody who the primary is, now and then. */
  #seek(nowMs: number): void {
    if (this.#locator.isTime(nowMs)) this.#locate(nowMs)
  }

  #locate(nowMs: number): void {
    const bytes = encodeQuestion({ _tag: "Locate", client: this.#options.client })
    const { voters, needsRoster } = this.#locator.ask(nowMs)
    this.#counts.asked += voters.length
    for (const voter of voters) this.#ask(voter, bytes)
    if (needsRoster) this.#outputs.push({ _tag: "Refresh" })
  }

  #hear(from: string, bytes: Uint8Array, nowMs: number): void {
    try {
      const vote = decodeVote(bytes)
      const reply = decodeReply(Buffer.from(vote.statement, "latin1"))
      if (vote.replica !== from) {
        this.#counts.strangers++
        return
      }
      this.#learn(reply, vote.replica, nowMs)
      this.#take(reply, vote, nowMs)
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
      this.#counts.strangers++
    }
  }

  /** A later epoch has another primary: what is not answered is asked of that one. */
  #learn(reply: Reply, from: ReplicaId, nowMs: number): void {
    if (!this.#locator.learn(reply, from)) return
    const named = reply.number === undefined ? undefined : this.#inFlight.get(reply.number)
    if (reply._tag === "Elsewhere" && named !== undefined) spared(named, reply)
    for (const pending of this.#inFlight.values()) {
      pending.sends = pending.kind === "query" ? Math.min(pending.sends, 1) : 0
      this.#send(pending, nowMs)
    }
    this.#dispatch(nowMs)
  }

  /** Where all copies of a batch reached nobody, it can be sent as if it had not been. */
  #unheard(token: number, nowMs: number): void {
    for (const pending of this.#inFlight.values()) takeBack(pending, token)
    this.#seek(nowMs)
  }

  #take(reply: Reply, vote: ReturnType<typeof decodeVote>, nowMs: number): void {
    const pending = reply.number === undefined ? undefined : this.#inFlight.get(reply.number)
    if (pending === undefined) return
    switch (reply._tag) {
      case "Answered": {
        const outcomes = isOutdated(pending, reply.epoch) ? undefined : wholeOf(pending, vote)
        const from = vote.replica
        if (outcomes !== undefined) this.#answered(pending, reply, { bytes: outcomes, from }, nowMs)
        return
      }
      case "Elsewhere":
        return spared(pending, reply) ? this.#send(pending, nowMs) : undefined
      case "Stale":
        return this.#send(pending, nowMs)
      case "Unrecorded":
        if (pending.kind === "command" && pending.sentIn !== undefined && pending.sentIn < reply.epoch)
          this.#giveUp(pending, UNRECORDED)
        return
      case "Refused":
        return this.#refused(pending, reply, nowMs)
    }
  }

  #answered(
    pending: Pending<Call>,
    reply: Reply & { readonly _tag: "Answered" },
    { bytes, from }: { readonly bytes: Buffer; readonly from: ReplicaId },
    nowMs: number,
  ): void {
    if (pending.kind === "opening") {
      this.#forget(pending)
      this.#session ??= SessionId(reply.session)
    } else {
      const outcomes = decodeOutcomes(bytes, pending.calls.length)
      this.#forget(pending)
      this.#answers.add(from)
      const [first] = outcomes
      if (first?._tag === "Refused" && first.reason === "SessionExpired") this.#expired(pending)
      else this.#settle(pending, outcomes, reply.position)
    }
    this.#dispatch(nowMs)
  }

  #settle(pending: Pending<Call>, outcomes: ReadonlyArray<Outcome>, position: number): void {
    this.#known = Math.max(this.#known, position)
    this.#outputs.push({ _tag: "Settle", calls: pending.calls, outcomes, seq: position })
    // others of the batch, who were told that nobody knows, may yet ask
    if (pending.calls.includes(undefined)) this.#undecided.add(pending)
  }

  /** The session is gone. A batch that was sent once was not executed, then, but it cannot be told from one that was, and then forgotten. */
  #expired(pending: Pending<Call>): void {
    if (this.#session === pending.session) this.#session = undefined
    for (const call of pending.calls)
      if (call !== undefined) this.#fail(call, new SessionExpired(`number ${pending.number}`))
  }

  #refused(pending: Pending<Call>, reply: Reply & { readonly _tag: "Refused" }, nowMs: number): void {
    // one that comes late says nothing of what was sent since then
    if (pending.kind !== "query" && pending.sentIn !== reply.epoch) return
    if (pending.isRetried) return this.#giveUp(pending, `The primary refused it this time: ${reply.detail}.`)
    this.#forget(pending)
    const error = (): LockstepError =>
      reply.reason === "Overloaded" ? new Overloaded(reply.detail) : new NotEnoughReplicas(reply.detail)
    for (const call of pending.calls) if (call !== undefined) this.#fail(call, error())
    if (pending.kind === "opening") this.#failDrafts(this.#outboxes.commands.drop(), error)
    this.#dispatch(nowMs)
  }

  #tick(nowMs: number): void {
    for (const pending of this.#inFlight.values()) {
      if (nowMs >= pending.deadlineMs) {
        this.#expire(pending)
        continue
      }
      if (pending.sends >= LOST_SENDS) this.#seek(nowMs)
      if (nowMs >= pending.againAtMs) this.#send(pending, nowMs)
    }
    const unsent = (): LockstepError => this.#locator.unreachable()
    this.#failDrafts(this.#outboxes.drop(nowMs), unsent)
    this.#dispatch(nowMs)
  }

  #expire(pending: Pending<Call>): void {
    if (mayBeExecuted(pending)) return this.#giveUp(pending, TOO_LATE)
    this.#forget(pending)
    for (const call of pending.calls) if (call !== undefined) this.#fail(call, this.#locator.unreachable())
  }

  /** Nobody can say whether it was executed; it is remembered for a while, so that the caller can have it executed. */
  #giveUp(pending: Pending<Call>, detail: string): void {
    this.#forget(pending)
    for (const [i, call] of pending.calls.entries())
      if (call !== undefined) this.#fail(call, this.#unknown(pending, i, detail))
    this.#undecided.add(pending)
  }

  #unknown({ session, number }: Pending<Call>, index: number, detail: string): OutcomeUnknown {
    const command = { partition: this.#options.partition, session, number: number + index }
    const { primary, voters } = this.#locator
    const missing = primary === undefined ? voters : [primary]
    return new OutcomeUnknown({ needed: 1, testimonies: [], missing, command, detail }, ADVICE)
  }

  /** From here on the caller wants it executed, if the primary has not recorded it. */
  #retry(number: number, call: Call, nowMs: number): void {
    const undecided = this.#undecided.take(number)
    const pending = undecided ?? this.#inFlight.values().find((other) => holds(other, number))
    if (pending === undefined) return this.#fail(call, new SessionExpired(`number ${number}`))
    const index = number - pending.number
    const before = pending.calls[index]
    if (before !== undefined) this.#fail(before, this.#unknown(pending, index, ASKED_AGAIN))
    pending.calls[index] = call
    pending.deadlineMs = nowMs + this.#options.limits.deadlineMs
    if (undecided === undefined) return
    this.#outboxes.commands.hold(pending.calls.length, pending.bytes)
    renew(pending)
    this.#send(pending, nowMs)
  }

  #close(nowMs: number): void {
    this.#failDrafts(this.#outboxes.drop(), closed)
    for (const pending of this.#inFlight.values()) pending.deadlineMs = nowMs
    this.#tick(nowMs)
  }

  #failDrafts(drafts: ReadonlyArray<Draft<Call>>, error: () => LockstepError): void {
    for (const draft of drafts)
      for (const call of draft.calls) if (call !== undefined) this.#fail(call, error())
  }

  #forget(pending: Pending<Call>): void {
    if (this.#inFlight.delete(pending.number) && pending.kind !== "opening")
      this.#outboxes
        .for(pending.kind === "query" ? pending.reads : undefined)
        .release(pending.calls.length, pending.bytes)
  }

  #fail(call: Call, error: LockstepError): void {
    this.#outputs.push({ _tag: "Fail", call, error })
  }
}

const NOTHING: ReadonlyArray<never> = []
const closed = (): LockstepError => new Overloaded("The client was closed before it sent the command")
