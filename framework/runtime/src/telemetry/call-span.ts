import type { LockstepError, Outcome } from "@lockstep/core"
import type { Decision } from "@lockstep/replication"
import {
  type Attributes,
  type Context,
  type Span,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  type Tracer,
} from "@opentelemetry/api"
import { wallMs } from "./clock.ts"
import { ATTRIBUTES } from "./names.ts"
import { OpenVote, type OpenVotes } from "./open-votes.ts"
import type { Dissents } from "./records.ts"
import { traceOf } from "./traceparent.ts"

/** What is said of every call of one method. */
export interface Method {
  readonly type: string
  readonly member: string
  readonly name: string
  readonly options: SpanOptions
  /** What is said of the calls that are sampled. */
  readonly about: Attributes
  readonly vote: string
  /** As it was needed last. */
  spanning: Spanning | undefined
}

/** What spans of one method's calls are made with. */
export interface Spanning {
  readonly tracer: Tracer
  readonly method: Method
  readonly sending: { readonly name: string; readonly options: SpanOptions }
  readonly votes: OpenVotes
}

/** What a call came to. */
export interface Settled {
  readonly outcome: Outcome
  readonly seq: number
  readonly decision?: Decision
  readonly index?: number
}

/** One call that is traced. */
export class CallSpan {
  /** What replicas are told: they hang what they do below what was sent to them. */
  readonly travels: string | undefined
  readonly #with: Spanning
  readonly #call: Span
  readonly #send: Span
  readonly #within: Context
  readonly #dissents: Dissents
  #isSent = false

  /** `within`: the context in which the call is active. `baggage`: what of it travels. */
  constructor(
    spanning: Spanning,
    { call, within, baggage }: { readonly call: Span; readonly within: Context; readonly baggage: string },
    dissents: Dissents,
  ) {
    this.#with = spanning
    this.#call = call
    this.#within = within
    this.#dissents = dissents
    call.setAttributes(spanning.method.about)
    const { name, options } = spanning.sending
    this.#send = spanning.tracer.startSpan(name, options, within)
    this.travels = traceOf(this.#send, baggage)
  }

  /** Where what happens to the call belongs. */
  get context(): Context {
    return this.#within
  }

  /** It is handed to the log, or to the primary; perhaps once more. */
  sent(): void {
    if (!this.#isSent) this.#send.end()
    this.#isSent = true
  }

  settled(settled: Settled): void {
    this.sent()
    const { outcome, seq, decision, index = 0 } = settled
    this.#call.setAttribute(ATTRIBUTES.logSeq, seq)
    if (decision !== undefined) {
      const { tracer, method, votes } = this.#with
      const attributes = attributesOf(decision)
      const startTime = wallMs(decision.firstVoteMs)
      const span = tracer.startSpan(
        method.vote,
        { kind: SpanKind.INTERNAL, startTime, attributes },
        this.#within,
      )
      votes.add(new OpenVote({ span, seq, index, decision, endTime: wallMs(performance.now()) }))
      this.#call.setAttributes(attributes)
      this.#dissents.decided(seq, this.#within)
    }
    sayOutcome(this.#call, outcome)
    this.#call.end()
  }

  failed(error: LockstepError): void {
    this.sent()
    sayFailure(this.#call, error)
    this.#call.end()
  }
}

/** A dissent that a quorum has outvoted is no error of the call. */
export function attributesOf({ match, dissent, missing }: Decision): Attributes {
  return {
    [ATTRIBUTES.votesMatch]: match.length,
    [ATTRIBUTES.votesDissent]: dissent.length,
    [ATTRIBUTES.votesMissing]: missing.length,
  }
}

/** What an actor throws is an answer; a refusal says that there is none. */
export function sayOutcome(call: Span, outcome: Outcome): void {
  if (outcome._tag === "Threw") call.setAttribute(ATTRIBUTES.errorType, outcome.code)
  if (outcome._tag === "Refused") fail(call, outcome.reason, outcome.detail)
}

/** It has no answer. */
export function sayFailure(call: Span, { _tag, message }: LockstepError): void {
  fail(call, _tag, message)
}

function fail(call: Span, type: string, message: string): void {
  call.setAttribute(ATTRIBUTES.errorType, type)
  call.setStatus({ code: SpanStatusCode.ERROR, message })
}
