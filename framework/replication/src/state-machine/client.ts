import {
  decodeOutcomes,
  encodeAsk,
  encodeOpening,
  FifoMap,
  invariant,
  type LockstepError,
  type Outcome,
  Overloaded,
  type Roster,
  SessionExpired,
  SessionId,
} from "@lockstep/core"
import type {
  ClientCounts,
  ClientInput,
  ClientOptions,
  ClientOutput,
  ClientProtocol,
  Submission,
} from "../mode.ts"
import type { Decision } from "../decision.ts"
import { type Heard, Inbox } from "./inbox.ts"
import { type Draft, Outbox } from "../outbox.ts"
import { floorOf, Pending, type Quorum } from "./pending.ts"
import { Rumour } from "../rumour.ts"
import { holds, Undecided } from "../undecided.ts"
import { Verdicts } from "./verdicts.ts"

/** An entry that the log has not confirmed is sent again after this long. */
export const APPEND_AGAIN_MS = 1000
/** The same, where the log said that it does not know. */
export const APPEND_UNKNOWN_MS = 100
/** Votes that are missing are asked for after this long, then half as often each time. */
export const ASK_MS = 100
export const ASK_MS_MAX = 1000
/** Bytes of outcomes that nobody sent are asked for after this long. */
export const ASK_BYTES_MS = 20
/** A batch that was asked about so often may wait for replicas that vote no longer. */
const REFRESH_ASKS = 3

/**
 * The caller's side of the state machine mode, in one partition: commands in, decisions out. It believes f+1 equal votes of
 * distinct replicas and nothing else; whatever else it is told can only cost time.
 */
export class StateMachineClient<Call extends Submission> implements ClientProtocol<Call> {
  readonly #options: ClientOptions
  #quorum: Quorum
  #epoch: number
  readonly #rumour = new Rumour()
  readonly #outbox: Outbox<Call>
  readonly #inbox: Inbox
  /** Entries that are not decided, by number. */
  readonly #inFlight = new FifoMap<Pending<Call>>()
  /** Entries whose callers were told that they are undecided. They may still be decided, and be asked for again. */
  readonly #undecided: Undecided<Pending<Call>>
  readonly #verdicts = new Verdicts()
  #session: SessionId | undefined
  /** The last opening of a session that the log took, and too few replicas confirmed in time. */
  #unconfirmed: Pending<Call> | undefined
  #number = 0
  /** Openings of a session since the last one was decided. */
  #openings = 0
  #counts = { batches: 0, commands: 0, strangers: 0, appendedAgain: 0, asked: 0 }
  #outputs: Array<ClientOutput<Call>> = []

  constructor(options: ClientOptions, needed: number) {
    this.#options = options
    this.#quorum = { needed, replicas: options.roster.voters }
    this.#epoch = options.roster.epoch
    this.#outbox = new Outbox(options.limits)
    this.#inbox = new Inbox(options)
    this.#undecided = new Undecided(options.limits.undecidedMax)
  }

  get busy(): boolean {
    return !this.#outbox.isEmpty || this.#inFlight.size > 0
  }

  get counts(): ClientCounts {
    return { ...this.#counts, ...this.#verdicts.counts, ...this.#outbox.counts }
  }

  margin(nowMs: number): number | undefined {
    return this.#verdicts.margin(this.#quorum, nowMs)
  }

  step(input: ClientInput<Call>): ReadonlyArray<ClientOutput<Call>> {
    switch (input._tag) {
      case "Submit":
        for (const call of input.calls) {
          const error = this.#outbox.add(call, input.nowMs)
          if (error !== undefined) this.#fail(call, error)
        }
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
      case "Unheard":
        break // replicas are asked again, in any case
      case "Reconnected":
        for (const pending of this.#inFlight.values()) pending.appendAtMs = pending.askAtMs = input.nowMs
        this.#tick(input.nowMs)
        break
      case "Roster":
        this.#adopt(input.roster, input.nowMs)
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
    // most inputs are submissions, and lead to nothing yet
    if (this.#outputs.length === 0) return NOTHING
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  /** Sends what waits, as far as the session and the window allow. */
  #dispatch(nowMs: number): void {
    while (!this.#outbox.isEmpty && this.#inFlight.size < this.#options.limits.windowMax) {
      if (this.#session === undefined) return this.#openSession(nowMs)
      const draft = this.#outbox.take()
      if (draft === undefined) return
      const number = this.#number
      this.#number += draft.calls.length
      const session = this.#session
      const payload = this.#outbox.seal(draft, {
        client: this.#options.client,
        session,
        number,
        settledBelow: floorOf(number, this.#inFlight, this.#undecided.all),
      })
      this.#counts.batches++
      this.#counts.commands += draft.calls.length
      this.#append(new Pending({ ...draft, session, number, payload }, this.#quorum), nowMs)
    }
  }

  /** An opening that is lost is not repeated: another one is sent, and whichever is decided first counts. */
  #openSession(nowMs: number): void {
    for (const pending of this.#inFlight.values()) if (pending.isOpening) return
    const number = this.#number++
    const payload = encodeOpening({ client: this.#options.client, number })
    const opening = {
      session: SessionId(0),
      number,
      payload,
      calls: [],
      bytes: 0,
      deadlineMs: nowMs + Math.min(APPEND_AGAIN_MS * 2 ** this.#openings++, this.#options.limits.deadlineMs),
    }
    this.#append(new Pending(opening, this.#quorum), nowMs)
  }

  #append(pending: Pending<Call>, nowMs: number): void {
    if (pending.appends++ > 0) this.#counts.appendedAgain++
    pending.appendAtMs = nowMs + APPEND_AGAIN_MS
    pending.askAtMs = Math.max(pending.askAtMs, nowMs + ASK_MS)
    this.#inFlight.set(pending.number, pending)
    const { number: token, payload: bytes, calls } = pending
    this.#outputs.push({ _tag: "Append", token, bytes, calls })
  }

  #appended(token: number, seq: number): void {
    const pending = this.#inFlight.get(token) ?? this.#undecided.get(token)
    if (pending === undefined) return
    pending.ackedSeq ??= seq
    pending.unconfirmed = false
  }

  #appendRefused(token: number, detail: string, nowMs: number): void {
    const pending = this.#inFlight.get(token)
    if (pending === undefined || !pending.unconfirmed) return
    // An earlier copy may have been accepted without our knowing: only a first copy's refusal says "not executed".
    if (pending.appends > 1) return this.#appendUnknown(token, nowMs)
    this.#forget(pending)
    if (pending.isOpening)
      this.#failDrafts(this.#outbox.drop(), () => new Overloaded(`The log refused a session: ${detail}`))
    for (const call of pending.calls)
      if (call !== undefined) this.#fail(call, new Overloaded(`The log refused the command: ${detail}`))
    this.#dispatch(nowMs)
  }

  #appendUnknown(token: number, nowMs: number): void {
    const pending = this.#inFlight.get(token)
    if (pending?.unconfirmed) pending.appendAtMs = nowMs + APPEND_UNKNOWN_MS
  }

  #vote(from: string, bytes: Uint8Array, nowMs: number): void {
    const heard = this.#inbox.read(from, bytes)
    if (heard === "later") this.#refresh(nowMs)
    if (heard === undefined || heard === "later") {
      this.#counts.strangers++
      return
    }
    const { statement } = heard
    const pending = this.#inFlight.get(statement.number)
    if (pending === undefined) return this.#lateVote(heard)
    if (!pending.isAnsweredBy(statement)) {
      this.#counts.strangers++
      return
    }
    pending.ballot.add(heard, nowMs)
    switch (pending.ballot.standing._tag) {
      case "Waiting":
        return
      case "Impossible":
        return this.#giveUp(pending, "diverged")
      case "Decided": {
        const outcomes = pending.ballot.decided
        if (outcomes === undefined) pending.askAtMs = Math.min(pending.askAtMs, nowMs + ASK_BYTES_MS)
        else this.#decide(pending, outcomes, nowMs)
      }
    }
  }

  #refresh(nowMs: number): void {
    if (this.#rumour.heard(nowMs)) this.#outputs.push({ _tag: "Refresh" })
  }

  /**
   * Other voters, other votes: whatever is undecided is asked of them, and nothing that was said before adds to what they say. A
   * liar who was removed, and another one who was not, would be two otherwise.
   */
  #adopt(roster: Roster, nowMs: number): void {
    if (roster.epoch <= this.#epoch) return
    this.#epoch = roster.epoch
    this.#quorum = { needed: this.#quorum.needed, replicas: roster.voters }
    this.#inbox.adopt(roster)
    this.#rumour.confirmed()
    this.#verdicts.adopt()
    for (const batches of [this.#inFlight.values(), this.#undecided.all])
      for (const pending of batches) pending.adopt(this.#quorum, nowMs)
    this.#tick(nowMs)
  }

  /** The callers have been told: of the decision, or that there is none, in which case a retry will find the vote. */
  #lateVote(heard: Heard): void {
    this.#undecided.get(heard.statement.number)?.ballot.add(heard)
    this.#outputs.push(...this.#verdicts.late(heard))
  }

  #decide(pending: Pending<Call>, bytes: Buffer, nowMs: number): void {
    this.#forget(pending)
    const { decision, statement } = pending.ballot
    invariant(statement !== undefined, "only a decided batch is settled")
    this.#outputs.push(...this.#verdicts.decided(pending, decision, nowMs))
    if (pending.isOpening) {
      this.#session ??= statement.session
      this.#unconfirmed = undefined
      this.#openings = 0
    } else
      this.#settle(pending, { outcomes: decodeOutcomes(bytes, pending.count), seq: statement.seq, decision })
    this.#dispatch(nowMs)
  }

  #settle(
    pending: Pending<Call>,
    decided: { readonly outcomes: ReadonlyArray<Outcome>; readonly seq: number; readonly decision: Decision },
  ): void {
    const [first] = decided.outcomes
    if (first?._tag === "Refused" && first.reason === "SessionExpired") return this.#expired(pending)
    this.#outputs.push({ _tag: "Settle", calls: pending.calls, ...decided })
    // others of the batch, who were told that nobody knows, may yet ask
    if (pending.calls.includes(undefined)) this.#undecided.add(pending)
  }

  /**
   * The replicas forgot this session. A batch that was sent once has not been executed, then: it goes out again in a new
   * session, and the caller notices nothing. Of one that was sent more than once, nobody knows; and where somebody was told so, it may have been issued anew.
   */
  #expired(pending: Pending<Call>): void {
    if (this.#session === pending.session) this.#session = undefined
    if (pending.appends > 1 || pending.calls.includes(undefined)) {
      for (const call of pending.calls)
        if (call !== undefined) this.#fail(call, new SessionExpired(`number ${pending.number}`))
      return
    }
    this.#outbox.putBack(pending.batch(), pending)
  }

  #tick(nowMs: number): void {
    for (const pending of this.#inFlight.values()) {
      if (nowMs >= pending.deadlineMs) this.#expire(pending, nowMs)
      else if (nowMs >= pending.askAtMs || nowMs >= pending.appendAtMs) this.#chase(pending, nowMs)
    }
    this.#failDrafts(this.#outbox.expired(nowMs), () => this.#unsent())
    this.#dispatch(nowMs)
  }

  /** Why a command was not sent before its deadline. */
  #unsent(): LockstepError {
    if (this.#session !== undefined)
      return new Overloaded("Earlier commands waited for their answers until the call's deadline")
    return (
      this.#unconfirmed?.unopened() ?? new Overloaded("The log took no new entries until the call's deadline")
    )
  }

  #expire(pending: Pending<Call>, nowMs: number): void {
    if (pending.isOpening) {
      this.#refresh(nowMs)
      if (pending.isOrdered) this.#unconfirmed = pending
      this.#forget(pending)
    } else this.#giveUp(pending, "too-late")
  }

  /** Sends again what the log did not confirm, and asks for the votes, or the bytes, that are missing. */
  #chase(pending: Pending<Call>, nowMs: number): void {
    const { ballot } = pending
    if (pending.unconfirmed && !ballot.ordered && nowMs >= pending.appendAtMs) this.#append(pending, nowMs)
    if (pending.isOpening || nowMs < pending.askAtMs) return
    if (pending.asks >= REFRESH_ASKS) this.#refresh(nowMs)
    const { holders } = ballot
    const next = holders[pending.asks % Math.max(1, holders.length)]
    for (const replica of next === undefined ? ballot.missing : [next]) {
      this.#counts.asked++
      const bytes = encodeAsk({
        client: this.#options.client,
        session: pending.session,
        number: pending.number,
      })
      this.#outputs.push({ _tag: "Ask", replica, bytes })
    }
    pending.askAtMs = nowMs + Math.min(ASK_MS * 2 ** pending.asks++, ASK_MS_MAX)
  }

  /** Tells the callers that there is no decision; the entry is remembered for a while, so that they can retry. */
  #giveUp(pending: Pending<Call>, reason: "diverged" | "too-late"): void {
    this.#forget(pending)
    const { calls } = pending
    for (const [i, call] of calls.entries()) {
      if (call === undefined) continue
      const error = pending.error(reason, i, this.#options.partition)
      this.#outputs.push({ _tag: "Fail", call, error, calls })
    }
    this.#undecided.add(pending)
  }

  #retry(number: number, call: Call, nowMs: number): void {
    const undecided = this.#undecided.take(number)
    const pending = undecided ?? this.#inFlight.values().find((other) => holds(other, number))
    if (pending === undefined) return this.#fail(call, new SessionExpired(`number ${number}`))
    const index = number - pending.number
    const before = pending.calls[index]
    if (before !== undefined) this.#fail(before, pending.error("too-late", index, this.#options.partition))
    pending.calls[index] = call
    pending.deadlineMs = nowMs + this.#options.limits.deadlineMs
    if (undecided === undefined) return // it was sent again for another of its callers
    this.#inFlight.set(pending.number, pending)
    this.#outbox.hold(pending.count, pending.bytes)
    const outcomes = pending.ballot.decided
    if (outcomes !== undefined) return this.#decide(pending, outcomes, nowMs)
    pending.voteAgain()
    pending.asks = 0
    pending.askAtMs = pending.appendAtMs = nowMs
    this.#chase(pending, nowMs)
  }

  #close(nowMs: number): void {
    this.#failDrafts(this.#outbox.drop(), closed)
    for (const pending of this.#inFlight.values()) pending.deadlineMs = nowMs
    this.#tick(nowMs)
  }

  #failDrafts(drafts: ReadonlyArray<Draft<Call>>, error: () => LockstepError): void {
    for (const draft of drafts)
      for (const call of draft.calls) if (call !== undefined) this.#fail(call, error())
  }

  #forget({ number, count, bytes }: Pending<Call>): void {
    if (this.#inFlight.delete(number)) this.#outbox.release(count, bytes)
  }

  #fail(call: Call, error: LockstepError): void {
    this.#outputs.push({ _tag: "Fail", call, error })
  }
}

const NOTHING: ReadonlyArray<never> = []
const closed = (): LockstepError => new Overloaded("The client was closed before it sent the command")
