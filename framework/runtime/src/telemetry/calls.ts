import type { Call, Member } from "@lockstep/actor"
import type { GroupName, LockstepError, Outcome, Partition } from "@lockstep/core"
import type { Decision, ReplicationMode } from "@lockstep/replication"
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  type SpanOptions,
  type Tracer,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from "@opentelemetry/api"
import { baggageText } from "./baggage.ts"
import { registeredTracer } from "./in-commands.ts"
import { surroundings } from "./joining.ts"
import { ATTRIBUTES, MESSAGING_SYSTEM, SPANS, SYSTEM } from "./names.ts"
import { destinationOf } from "./place.ts"
import { traceOf } from "./traceparent.ts"

/** Spans of the calls that one client makes to one partition. */
export class Calls {
  /** The one that the program has registered, if it has. */
  #tracer: Tracer | undefined
  readonly #about: Attributes
  readonly #methods = new Map<Member, Method>()
  readonly #destination: string
  readonly #sending: Attributes
  readonly #baggage: ReadonlyArray<string>

  constructor(lane: {
    readonly mode: ReplicationMode
    readonly group: GroupName
    readonly partition: Partition
    readonly replicas: number
    /** Names of the entries that travel. */
    readonly baggage: ReadonlyArray<string>
  }) {
    this.#baggage = lane.baggage
    const { mode, group, partition, replicas } = lane
    this.#about = {
      [ATTRIBUTES.rpcSystem]: SYSTEM,
      [ATTRIBUTES.group]: group,
      [ATTRIBUTES.mode]: mode.kind,
      [ATTRIBUTES.partition]: partition,
      [ATTRIBUTES.quorumRequired]: mode.quorum,
      [ATTRIBUTES.replicas]: replicas,
    }
    const { template, destination } = destinationOf(mode, { group, partition })
    this.#destination = destination
    this.#sending = {
      [ATTRIBUTES.messagingSystem]: MESSAGING_SYSTEM,
      [ATTRIBUTES.messagingOperation]: "send",
      [ATTRIBUTES.messagingTemplate]: template,
      [ATTRIBUTES.messagingDestination]: this.#destination,
    }
  }

  /** Looks whether the program has registered a tracer: once for all calls of a turn of the event loop, because each is but a microsecond. */
  turn(): void {
    this.#tracer = registeredTracer()
  }

  /** Begins to watch a call; undefined where nobody wants to see it: then nothing travels with it either. */
  begin({ definition, member }: Call): CallSpan | undefined {
    const tracer = this.#tracer
    if (tracer === undefined) return undefined
    const parent = surroundings()
    const above = trace.getSpanContext(parent)
    // sampling is decided once, at the root
    if (above !== undefined && (above.traceFlags & TraceFlags.SAMPLED) === 0) return undefined
    const { name, options, vote } = this.#methodOf(definition.type, member)
    const call = tracer.startSpan(name, options, parent)
    if (!call.isRecording()) return undefined
    const within = trace.setSpan(parent, call)
    const send = tracer.startSpan(
      SPANS.send(this.#destination),
      { kind: SpanKind.PRODUCER, attributes: this.#sending },
      within,
    )
    const travels = traceOf(send, baggageText(parent, this.#baggage))
    return new CallSpan({ tracer, call, send, travels, within, vote })
  }

  /** What travels where no SDK says anything of the call here: the span that it is made in, if another tracer has made it, and sampled it. */
  passOn(): string | undefined {
    if (this.#tracer !== undefined) return undefined
    const parent = surroundings()
    const above = parent === ROOT_CONTEXT ? undefined : trace.getSpan(parent)
    if (above === undefined || (above.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return undefined
    return traceOf(above, baggageText(parent, this.#baggage))
  }

  #methodOf(type: string, member: Member): Method {
    let method = this.#methods.get(member)
    if (method === undefined) {
      const name = SPANS.call(type, member.name)
      const attributes = { ...this.#about, [ATTRIBUTES.rpcMethod]: name }
      method = { name, options: { kind: SpanKind.CLIENT, attributes }, vote: SPANS.vote(type, member.name) }
      this.#methods.set(member, method)
    }
    return method
  }
}

/** What is said of every call of one method. */
interface Method {
  readonly name: string
  readonly options: SpanOptions
  readonly vote: string
}

/** One call that is traced. */
export class CallSpan {
  /** What replicas are told: they hang what they do below what was sent to them. */
  readonly travels: string | undefined
  readonly #tracer: Tracer
  readonly #call: Span
  readonly #send: Span
  readonly #within: Context
  readonly #vote: string
  #isSent = false

  constructor(of: {
    readonly tracer: Tracer
    readonly call: Span
    readonly send: Span
    readonly travels: string | undefined
    readonly within: Context
    readonly vote: string
  }) {
    this.#tracer = of.tracer
    this.#call = of.call
    this.#send = of.send
    this.#within = of.within
    this.#vote = of.vote
    this.travels = of.travels
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

  settled({
    outcome,
    seq,
    decision,
  }: {
    outcome: Outcome
    seq: number
    decision?: Decision | undefined
  }): void {
    this.sent()
    this.#call.setAttribute(ATTRIBUTES.logSeq, seq)
    if (decision !== undefined) this.#voted(decision)
    // what an actor throws is an answer; a refusal says that there is none
    if (outcome._tag === "Threw") this.#call.setAttribute(ATTRIBUTES.errorType, outcome.code)
    if (outcome._tag === "Refused") this.#fail(outcome.reason, outcome.detail)
    this.#call.end()
  }

  failed(error: LockstepError): void {
    this.sent()
    this.#fail(error._tag, error.message)
    this.#call.end()
  }

  #fail(type: string, message: string): void {
    this.#call.setAttribute(ATTRIBUTES.errorType, type)
    this.#call.setStatus({ code: SpanStatusCode.ERROR, message })
  }

  /** A dissent that a quorum has outvoted is no error of the call. */
  #voted({ firstVoteMs, match, dissent, missing }: Decision): void {
    const votes = {
      [ATTRIBUTES.votesMatch]: match.length,
      [ATTRIBUTES.votesDissent]: dissent.length,
      [ATTRIBUTES.votesMissing]: missing.length,
    }
    const startTime = performance.timeOrigin + firstVoteMs
    const span = this.#tracer.startSpan(
      this.#vote,
      { kind: SpanKind.INTERNAL, startTime, attributes: votes },
      this.#within,
    )
    span.end()
    this.#call.setAttributes(votes)
  }
}
