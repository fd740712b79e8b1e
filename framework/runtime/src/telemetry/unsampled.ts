import { type ClientId, Diverged, FifoMap, type LockstepError, NoQuorum, type Outcome } from "@lockstep/core"
import type { Decision, LateVote } from "@lockstep/replication"
import {
  type Context,
  isSpanContextValid,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  trace,
  TraceFlags,
} from "@opentelemetry/api"
import { attributesOf, type Method, sayFailure, sayOutcome, type Spanning } from "./call-span.ts"
import { wallMs } from "./clock.ts"
import { ATTRIBUTES } from "./names.ts"
import { positionOf } from "./no-quorums.ts"
import { encodeNotice, NOTICE_CALLS_MAX, type NoticedCall } from "./notice.ts"
import { OpenVote } from "./open-votes.ts"
import { Rate } from "./rate.ts"
import type { Heard } from "./records.ts"
import { traceOf } from "./traceparent.ts"

/** Calls that are remembered once they are over, at most. */
export const UNSAMPLED_MAX = 4096
/** Calls of one batch that are told of because of dissents, at most. */
export const KEPT_OF_BATCH_MAX = NOTICE_CALLS_MAX
/** Calls that are told of in a second because of dissents, at most. */
export const KEPT_PER_SECOND = 64

/** Calls that were decided together, when each was made, and what those are made in that were not sampled. */
export interface SettledCalls<Waiting extends OverlookedCall = OverlookedCall> {
  readonly calls: ReadonlyArray<Waiting | undefined>
  readonly outcomes: ReadonlyArray<Outcome>
  readonly seq: number
  readonly decision?: Decision
}

/** A call that ended without an answer, and those that it was sent with, where that is known. */
export interface FailedCall<Waiting extends OverlookedCall = OverlookedCall> {
  readonly call: Waiting
  readonly error: LockstepError
  readonly calls?: ReadonlyArray<Waiting | undefined>
}

/** Calls of one turn of the event loop, some of which were not sampled. */
export interface OverlookedCalls {
  /** Of those: the span that each was made in, or that would have been its own. It is of the trace in any case. */
  readonly above: ReadonlyArray<SpanContext | undefined>
  /** Of all. */
  readonly methods: ReadonlyArray<Method>
}

export interface OverlookedCall {
  readonly turn: { readonly startMs: number; readonly overlooked: OverlookedCalls | undefined } | undefined
  /** Among the calls of the turn. */
  readonly place: number
}

/** Calls of a batch that were made one after the other, in one turn: usually all of them. */
interface Stretch extends OverlookedCalls {
  /** Of the first of them in the batch. */
  readonly index: number
  readonly startMs: number
}

/**
 * What was decided at one position about calls that were not sampled: what is needed to tell of them afterwards, by index. Nothing else of a call is
 * kept, nor an object for each: thousands of them are remembered, and hardly one is ever told of. Times are those of `performance.now()`.
 */
interface Batch {
  readonly size: number
  readonly stretches: ReadonlyArray<Stretch>
  readonly sentMs: number
  readonly settledMs: number
  /** Of what was returned nothing is said. */
  readonly outcomes: ReadonlyMap<number, Outcome>
  readonly decision: Decision
  readonly late: Array<LateVote>
  /** In what those were told of that were, by index. */
  readonly kept: Map<number, Context>
}

/**
 * The last calls that were not sampled. Where a replica dissents about some of them, or too few equal votes come, they are told of after all, with their
 * true times and in the trace that they belong to, and the replicas are asked to do the same.
 */
export class UnsampledCalls {
  readonly #client: ClientId
  readonly #notify: (notice: Uint8Array) => void
  readonly #spanningOf: (method: Method) => Spanning | undefined
  /** When calls were sent that wait, by those who wait for them together. */
  readonly #sentMs = new WeakMap<object, number>()
  readonly #batches = new FifoMap<Batch>()
  readonly #rate = new Rate(KEPT_PER_SECOND)
  /** Calls that have failed, by position: replicas are asked about all that ended together. */
  readonly #undecided = new Map<number, Array<NoticedCall>>()
  #size = 0

  constructor(of: {
    readonly client: ClientId
    readonly notify: (notice: Uint8Array) => void
    /** What spans are made with; undefined where nobody traces any more. */
    readonly spanningOf: (method: Method) => Spanning | undefined
  }) {
    this.#client = of.client
    this.#notify = of.notify
    this.#spanningOf = of.spanningOf
  }

  /** These calls are handed to the log; perhaps once more. */
  sent(calls: ReadonlyArray<OverlookedCall | undefined>, nowMs: number): void {
    if (!this.#sentMs.has(calls)) this.#sentMs.set(calls, nowMs)
  }

  settled({ calls, outcomes, seq, decision }: SettledCalls, nowMs: number): void {
    if (decision === undefined) return
    const stretches = stretchesOf(calls)
    if (stretches.length === 0) return
    const unusual = new Map<number, Outcome>()
    for (let index = 0; index < outcomes.length; index++) {
      const outcome = outcomes[index]
      if (outcome !== undefined && outcome._tag !== "Returned") unusual.set(index, outcome)
    }
    this.#batches.set(seq, {
      size: calls.length,
      stretches,
      sentMs: this.#sentMs.get(calls) ?? nowMs,
      settledMs: nowMs,
      outcomes: unusual,
      decision,
      late: [],
      kept: new Map(),
    })
    this.#size += calls.length
    this.#forgetOldest()
  }

  late(vote: LateVote): void {
    this.#batches.get(vote.seq)?.late.push(vote)
  }

  /** Tells of calls that the dissent is about, if there are any. Yields the context of one of them. */
  keep({ seq, differing }: Heard): Context | undefined {
    const batch = this.#batches.get(seq)
    if (batch === undefined) return undefined
    const indices = new Set(differing())
    const calls: Array<NoticedCall> = []
    let known: Context | undefined
    for (const overlooked of overlookedOf(batch)) {
      const { index, above, method } = overlooked
      if (indices.size > 0 && !indices.has(index)) continue
      if (!batch.kept.has(index)) {
        if (batch.kept.size >= KEPT_OF_BATCH_MAX || !isSpanContextValid(above) || !this.#rate.take()) break
        const told = this.#tellOf(overlooked, { seq, batch })
        if (told === undefined) break
        calls.push({ index, type: method.type, member: method.member, trace: told })
      }
      known ??= batch.kept.get(index)
    }
    if (calls.length > 0) this.#notify(encodeNotice({ client: this.#client, seq, calls }))
    return known
  }

  /** Tells of a call that too few equal votes came for. Yields its context. */
  failed({ call, error, calls = [] }: FailedCall, nowMs: number): Context | undefined {
    if (!(error instanceof NoQuorum || error instanceof Diverged)) return undefined
    const { startMs = nowMs, overlooked } = call.turn ?? {}
    const [above, method] = [overlooked?.above[call.place], overlooked?.methods[call.place]]
    const seq = positionOf(error) ?? 0
    const noticed = this.#undecided.get(seq) ?? []
    if (above === undefined || method === undefined || !isSpanContextValid(above)) return undefined
    if (noticed.length >= KEPT_OF_BATCH_MAX || !this.#rate.take()) return undefined
    const sentMs = this.#sentMs.get(calls) ?? nowMs
    const begun = this.#begin({ above, method, startMs, sentMs })
    if (begun === undefined) return undefined
    const { span, within, travels } = begun
    if (seq > 0) span.setAttribute(ATTRIBUTES.logSeq, seq)
    sayFailure(span, error)
    span.end(wallMs(nowMs))
    const index = calls.indexOf(call)
    if (seq > 0 && index >= 0 && travels !== undefined) {
      noticed.push({ index, type: method.type, member: method.member, trace: travels })
      this.#undecided.set(seq, noticed)
    }
    return within
  }

  /** All that ended together is known. */
  tell(): void {
    if (this.#undecided.size === 0) return
    for (const [seq, calls] of this.#undecided)
      this.#notify(encodeNotice({ client: this.#client, seq, calls }))
    this.#undecided.clear()
  }

  /** But for the last one, whose calls are still being settled. */
  #forgetOldest(): void {
    while (this.#size > UNSAMPLED_MAX && this.#batches.size > 1)
      this.#size -= this.#batches.shift()?.size ?? 0
  }

  /** The spans of a call that is over. Yields the trace of what was sent, as it would have travelled; undefined where nobody records it even now. */
  #tellOf(
    { index, above, method, startMs }: Overlooked,
    { seq, batch }: { readonly seq: number; readonly batch: Batch },
  ): string | undefined {
    const { decision, late, sentMs, settledMs } = batch
    const outcome = batch.outcomes.get(index)
    const begun = this.#begin({ above, method, startMs, sentMs })
    if (begun === undefined) return undefined
    const { span, within, travels, spanning } = begun
    const { tracer, votes } = spanning
    const endTime = wallMs(settledMs)
    const known = withLate(decision, late)
    const voting = {
      kind: SpanKind.INTERNAL,
      startTime: wallMs(decision.firstVoteMs),
      attributes: attributesOf(known),
    }
    const vote = new OpenVote({
      span: tracer.startSpan(method.vote, voting, within),
      seq,
      index,
      decision,
      endTime,
      linksTo: "what is told afterwards",
    })
    for (const one of late) vote.late(one)
    votes.add(vote)
    span.setAttribute(ATTRIBUTES.logSeq, seq)
    span.setAttributes(attributesOf(known))
    if (outcome !== undefined) sayOutcome(span, outcome)
    span.end(endTime)
    batch.kept.set(index, within)
    return travels
  }

  /** The spans of a call that is over, and of its sending, as they would have been begun. Undefined where nobody records them even now. */
  #begin({ above, method, startMs, sentMs }: Omit<Overlooked, "index"> & { readonly sentMs: number }) {
    const spanning = this.#spanningOf(method)
    if (spanning === undefined) return undefined
    const { tracer, sending } = spanning
    // whoever samples by the parent follows it now
    const sampled = { ...above, traceFlags: above.traceFlags | TraceFlags.SAMPLED, isRemote: true }
    const parent = trace.setSpanContext(ROOT_CONTEXT, sampled)
    const startTime = wallMs(startMs)
    const span = tracer.startSpan(method.name, { ...method.options, startTime }, parent)
    if (!span.isRecording()) return undefined
    span.setAttributes(method.about)
    const within = trace.setSpan(parent, span)
    const send = tracer.startSpan(sending.name, { ...sending.options, startTime }, within)
    send.end(wallMs(sentMs))
    return { span, within, travels: traceOf(send), spanning }
  }
}

/** None where nothing is remembered of any call. */
function stretchesOf(calls: SettledCalls["calls"]): ReadonlyArray<Stretch> {
  const stretches: Array<Stretch> = []
  for (let index = 0; index < calls.length;) {
    const first = calls[index]
    const length = first?.turn === undefined ? 1 : stretchLength(calls, index, first)
    if (first?.turn?.overlooked !== undefined) {
      const { startMs, overlooked } = first.turn
      const above = overlooked.above.slice(first.place, first.place + length)
      const methods = overlooked.methods.slice(first.place, first.place + length)
      stretches.push({ index, startMs, above, methods })
    }
    index += length
  }
  return stretches
}

/** Calls of a turn are in the order in which they were made: where all that are left belong together, the last one says so. */
function stretchLength(calls: SettledCalls["calls"], from: number, first: OverlookedCall): number {
  const isNext = (call: OverlookedCall | undefined, at: number): boolean =>
    call !== undefined && call.turn === first.turn && call.place - first.place === at - from
  if (isNext(calls.at(-1), calls.length - 1)) return calls.length - from
  let to = from + 1
  while (isNext(calls[to], to)) to++
  return to - from
}

/** One of a batch. */
interface Overlooked {
  readonly index: number
  readonly above: SpanContext
  readonly method: Method
  readonly startMs: number
}

function* overlookedOf({ stretches }: Batch): Generator<Overlooked> {
  for (const { index, startMs, above, methods } of stretches)
    for (const [i, method] of methods.entries()) {
      const each = above[i]
      if (each !== undefined) yield { index: index + i, above: each, method, startMs }
    }
}

/** The decision, with the votes that have come since. */
function withLate(decision: Decision, late: ReadonlyArray<LateVote>): Decision {
  const said = (isMatch: boolean) =>
    late.filter((vote) => vote.isMatch === isMatch).map(({ replica }) => replica)
  const [match, dissent] = [said(true), said(false)]
  return {
    ...decision,
    match: [...decision.match, ...match],
    dissent: [...decision.dissent, ...dissent],
    missing: decision.missing.filter((replica) => !match.includes(replica) && !dissent.includes(replica)),
  }
}
