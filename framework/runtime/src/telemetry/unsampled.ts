import type { Call } from "@lockstep/actor"
import { type ClientId, FifoMap, type Outcome } from "@lockstep/core"
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
import { attributesOf, type Method, sayOutcome, type Spanning } from "./call-span.ts"
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

/** Calls that were decided together, when each was made, and what those are made in that were not sampled. */
export interface SettledCalls<Waiting extends OverlookedCall = OverlookedCall> {
  readonly calls: ReadonlyArray<Waiting | undefined>
  readonly outcomes: ReadonlyArray<Outcome>
  readonly seq: number
  readonly decision?: Decision
}

export interface OverlookedCall {
  readonly call: Call
  readonly sinceMs: number | undefined
  /** Where it was not sampled: the span that it was made in, or that would have been its own. It is of the trace in any case. */
  readonly above: SpanContext | undefined
}

/**
 * What was decided at one position about calls that were not sampled: what is needed to tell of them afterwards, by index. Nothing else of a call is
 * kept, nor an object for each: thousands of them are remembered, and hardly one is ever told of. Times are those of `performance.now()`.
 */
interface Batch {
  readonly above: Array<SpanContext | undefined>
  readonly method: Array<Method | undefined>
  readonly startMs: Array<number>
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
 * The last calls that were not sampled. Where a replica dissents about some of them they are told of after all, with their true times and in the trace
 * that they belong to, and the replicas are asked to do the same.
 */
export class UnsampledCalls {
  readonly #client: ClientId
  readonly #notify: (notice: Uint8Array) => void
  readonly #methodOf: (call: Call) => Method
  readonly #spanningOf: (method: Method) => Spanning | undefined
  /** When calls were sent that wait, by those who wait for them together. */
  readonly #sentMs = new WeakMap<object, number>()
  readonly #batches = new FifoMap<Batch>()
  readonly #rate = new Rate(KEPT_PER_SECOND)
  #size = 0

  constructor(of: {
    readonly client: ClientId
    readonly notify: (notice: Uint8Array) => void
    readonly methodOf: (call: Call) => Method
    /** What spans are made with; undefined where nobody traces any more. */
    readonly spanningOf: (method: Method) => Spanning | undefined
  }) {
    this.#client = of.client
    this.#notify = of.notify
    this.#methodOf = of.methodOf
    this.#spanningOf = of.spanningOf
  }

  /** These calls are handed to the log; perhaps once more. */
  sent(calls: ReadonlyArray<OverlookedCall | undefined>, nowMs: number): void {
    if (!this.#sentMs.has(calls)) this.#sentMs.set(calls, nowMs)
  }

  settled({ calls, outcomes, seq, decision }: SettledCalls, nowMs: number): void {
    if (decision === undefined || !calls.some(isOverlooked)) return
    const [above, method, startMs]: [Batch["above"], Batch["method"], Batch["startMs"]] = [[], [], []]
    const unusual = new Map<number, Outcome>()
    for (let index = 0; index < calls.length; index++) {
      const [waiting, outcome] = [calls[index], outcomes[index]]
      above.push(waiting?.above)
      startMs.push(waiting?.sinceMs ?? nowMs)
      method.push(waiting && this.#methodOf(waiting.call))
      if (outcome !== undefined && outcome._tag !== "Returned") unusual.set(index, outcome)
    }
    const sentMs = this.#sentMs.get(calls) ?? nowMs
    const times = { startMs, sentMs, settledMs: nowMs }
    this.#batches.set(seq, {
      above,
      method,
      ...times,
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
    for (const [index, above] of batch.above.entries()) {
      if (above === undefined || (indices.size > 0 && !indices.has(index))) continue
      if (!batch.kept.has(index)) {
        if (batch.kept.size >= KEPT_OF_BATCH_MAX || !isSpanContextValid(above) || !this.#rate.take()) break
        const told = this.#tellOf(index, above, { seq, batch })
        if (told === undefined) break
        const { type, member } = batch.method[index] as Method // there is one for each call that was not sampled
        calls.push({ index, type, member, trace: told })
      }
      known ??= batch.kept.get(index)
    }
    if (calls.length > 0) this.#notify(encodeNotice({ client: this.#client, seq, calls }))
    return known
  }

  /** But for the last one, whose calls are still being settled. */
  #forgetOldest(): void {
    while (this.#size > UNSAMPLED_MAX && this.#batches.size > 1)
      this.#size -= this.#batches.shift()?.above.length ?? 0
  }

  /** The spans of a call that is over. Yields the trace of what was sent, as it would have travelled; undefined where nobody records it even now. */
  #tellOf(
    index: number,
    above: SpanContext,
    { seq, batch }: { readonly seq: number; readonly batch: Batch },
  ): string | undefined {
    const { decision, late, sentMs, settledMs } = batch
    const outcome = batch.outcomes.get(index)
    const spanning = this.#spanningOf(batch.method[index] as Method) // there is one for each call that was not sampled
    if (spanning === undefined) return undefined
    const { tracer, method, sending, votes } = spanning
    // whoever samples by the parent follows it now
    const sampled = { ...above, traceFlags: above.traceFlags | TraceFlags.SAMPLED, isRemote: true }
    const parent = trace.setSpanContext(ROOT_CONTEXT, sampled)
    const startTime = wallMs(batch.startMs[index] ?? sentMs)
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
    batch.kept.set(index, within)
    return traceOf(send)
  }
}

function isOverlooked(waiting: OverlookedCall | undefined): boolean {
  return waiting?.above !== undefined
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
