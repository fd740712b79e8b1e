import type { ClientId, Outcome } from "@lockstep/core"
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
import { attributesOf, sayOutcome, type Settled, type Spanning } from "./call-span.ts"
import { wallMs } from "./clock.ts"
import { ATTRIBUTES } from "./names.ts"
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

/** One call that nobody wanted to see when it was made: what is needed to tell of it afterwards. Times are those of `performance.now()`. */
export class UnsampledCall {
  /** Nothing travels with it. */
  readonly travels = undefined
  /** What happens to it belongs nowhere. */
  readonly context = undefined
  readonly spanning: Spanning
  /** The span that it was made in, or that would have been its own: it is of the trace in any case. */
  readonly above: SpanContext
  readonly startMs: number
  readonly #calls: UnsampledCalls
  sentMs = 0
  settledMs = 0
  index = 0
  outcome: Outcome | undefined
  /** In which it was told of. */
  kept: Context | undefined

  constructor(calls: UnsampledCalls, spanning: Spanning, above: SpanContext, startMs: number) {
    this.#calls = calls
    this.spanning = spanning
    this.above = above
    this.startMs = startMs
  }

  sent(nowMs: number): void {
    if (this.sentMs === 0) this.sentMs = nowMs
  }

  settled({ outcome, seq, decision, index = 0 }: Settled, nowMs: number): void {
    if (decision === undefined) return
    this.settledMs = nowMs
    this.index = index
    // of what was returned nothing is said
    if (outcome._tag !== "Returned") this.outcome = outcome
    this.#calls.settled(this, seq, decision)
  }

  failed(): void {
    // there was no decision that somebody could dissent from
  }
}

/** What was decided at one position about calls that were not sampled. */
interface Batch {
  readonly calls: Array<UnsampledCall>
  readonly decision: Decision
  readonly late: Array<LateVote>
  kept: number
}

/**
 * The last calls that were not sampled. Where a replica dissents about some of them they are told of after all, with their true times and in the trace
 * that they belong to, and the replicas are asked to do the same.
 */
export class UnsampledCalls {
  readonly #client: ClientId
  readonly #notify: (notice: Uint8Array) => void
  readonly #batches = new Map<number, Batch>()
  readonly #rate = new Rate(KEPT_PER_SECOND)
  #size = 0

  constructor(of: { readonly client: ClientId; readonly notify: (notice: Uint8Array) => void }) {
    this.#client = of.client
    this.#notify = of.notify
  }

  settled(call: UnsampledCall, seq: number, decision: Decision): void {
    let batch = this.#batches.get(seq)
    if (batch === undefined) this.#batches.set(seq, (batch = { calls: [], decision, late: [], kept: 0 }))
    batch.calls.push(call)
    if (++this.#size > UNSAMPLED_MAX) this.#forgetOldest(seq)
  }

  late(vote: LateVote): void {
    this.#batches.get(vote.seq)?.late.push(vote)
  }

  /** Tells of calls that the dissent is about, if there are any. Yields the context of one of them. */
  keep({ seq, differing }: Heard): Context | undefined {
    const batch = this.#batches.get(seq)
    if (batch === undefined) return undefined
    const indices = new Set(differing())
    const concerned = batch.calls.filter(({ index }) => indices.size === 0 || indices.has(index))
    const calls: Array<NoticedCall> = []
    for (const call of concerned) {
      if (call.kept !== undefined) continue
      if (batch.kept >= KEPT_OF_BATCH_MAX || !isSpanContextValid(call.above) || !this.#rate.take()) break
      const sent = tellOf(call, seq, batch)
      if (sent === undefined) break
      batch.kept++
      const { type, member } = call.spanning.method
      calls.push({ index: call.index, type, member, trace: sent })
    }
    if (calls.length > 0) this.#notify(encodeNotice({ client: this.#client, seq, calls }))
    return concerned.find(({ kept }) => kept !== undefined)?.kept
  }

  /** But for the one that is still settled. */
  #forgetOldest(current: number): void {
    for (const [seq, { calls }] of this.#batches) {
      if (seq === current) continue
      this.#batches.delete(seq)
      this.#size -= calls.length
      return
    }
  }
}

/** The spans of a call that is over. Yields the trace of what was sent, as it would have travelled; undefined where nobody records it even now. */
function tellOf(call: UnsampledCall, seq: number, { decision, late }: Batch): string | undefined {
  const { spanning, above, startMs, sentMs, settledMs, index, outcome } = call
  const { tracer, method, sending, votes } = spanning
  // whoever samples by the parent follows it now
  const sampled = { ...above, traceFlags: above.traceFlags | TraceFlags.SAMPLED, isRemote: true }
  const parent = trace.setSpanContext(ROOT_CONTEXT, sampled)
  const startTime = wallMs(startMs)
  const endTime = wallMs(settledMs)
  const span = tracer.startSpan(method.name, { ...method.options, startTime }, parent)
  if (!span.isRecording()) return undefined
  span.setAttributes(method.about)
  const within = trace.setSpan(parent, span)
  const send = tracer.startSpan(sending.name, { ...sending.options, startTime }, within)
  send.end(wallMs(sentMs))
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
  call.kept = within
  return traceOf(send)
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
