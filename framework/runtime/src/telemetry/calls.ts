import type { Call, Member } from "@lockstep/actor"
import type { ClientId, GroupName, Partition, ReplicaId } from "@lockstep/core"
import type { LateVote, ReplicationMode } from "@lockstep/replication"
import {
  type Attributes,
  type Context,
  type Span,
  type SpanContext,
  SpanKind,
  trace,
  TraceFlags,
  type Tracer,
} from "@opentelemetry/api"
import { baggageText } from "./baggage.ts"
import { CallSpan, type Method, type Spanning } from "./call-span.ts"
import { registeredTracer } from "./in-commands.ts"
import { isJoining } from "./joining.ts"
import { ATTRIBUTES, MESSAGING_SYSTEM, SPANS, SYSTEM } from "./names.ts"
import { decodeTold } from "./notice.ts"
import { OpenVotes } from "./open-votes.ts"
import { destinationOf } from "./place.ts"
import { Dissents, type Heard } from "./records.ts"
import { traceOf } from "./traceparent.ts"
import {
  type FailedCall,
  type OverlookedCall,
  type OverlookedCalls,
  type SettledCalls,
  UnsampledCalls,
} from "./unsampled.ts"

/** A call that is traced. */
export type WatchedCall = CallSpan | PassedOn

/** A call, and where it is made. */
export interface MadeCall {
  readonly call: Call
  readonly parent: Context
  /** Where it is traced. */
  span: WatchedCall | undefined
}

/** A call of which nothing is said here: what it is made in travels. */
class PassedOn {
  readonly travels: string | undefined
  readonly context = undefined

  constructor(travels: string | undefined) {
    this.travels = travels
  }

  sent(): void {
    // nobody here wants to know
  }

  settled(): void {
    // nobody here wants to know
  }

  failed(): void {
    // nobody here wants to know
  }
}

/** Spans of the calls that one client makes to one partition. */
export class Calls {
  /** Of each call: by what a sampler may tell it from others, and what is said of those that are sampled. */
  readonly #telling: Attributes
  readonly #about: Attributes
  readonly #methods = new Map<Member, Method>()
  /** The last one. */
  #method: { readonly of: Member; readonly method: Method } | undefined
  /** Whether anybody traces. */
  #isWatching = false
  readonly #sending: Spanning["sending"]
  readonly #baggage: ReadonlyArray<string>
  readonly #votes = new OpenVotes()
  readonly #dissents: Dissents
  /** Where replicas vote: there may be a dissent. */
  readonly #unsampled: UnsampledCalls | undefined
  readonly #keep = (dissent: Heard): Context | undefined => this.#unsampled?.keep(dissent)

  constructor(lane: {
    readonly mode: ReplicationMode
    readonly group: GroupName
    readonly partition: Partition
    readonly client: ClientId
    readonly replicas: number
    /** Names of the entries that travel. */
    readonly baggage: ReadonlyArray<string>
    /** Sends a notice to the replicas of the partition. */
    readonly notify: (notice: Uint8Array) => void
  }) {
    const { mode, group, partition, client, replicas, notify } = lane
    this.#baggage = lane.baggage
    this.#telling = { [ATTRIBUTES.rpcSystem]: SYSTEM, [ATTRIBUTES.group]: group }
    this.#about = {
      [ATTRIBUTES.mode]: mode.kind,
      [ATTRIBUTES.partition]: partition,
      [ATTRIBUTES.quorumRequired]: mode.quorum,
      [ATTRIBUTES.replicas]: replicas,
    }
    const { template, destination } = destinationOf(mode, { group, partition })
    const attributes = {
      [ATTRIBUTES.messagingSystem]: MESSAGING_SYSTEM,
      [ATTRIBUTES.messagingOperation]: "send",
      [ATTRIBUTES.messagingTemplate]: template,
      [ATTRIBUTES.messagingDestination]: destination,
    }
    this.#sending = { name: SPANS.send(destination), options: { kind: SpanKind.PRODUCER, attributes } }
    this.#dissents = new Dissents({ group, partition })
    if (mode.execution === "everywhere")
      this.#unsampled = new UnsampledCalls({
        client,
        notify,
        spanningOf: (method) => {
          const tracer = registeredTracer()
          return tracer && this.#spanning(tracer, method)
        },
      })
  }

  /**
   * Begins to watch the calls of a turn of the event loop: each, where somebody will want to see it. What they are made in is read for all of them
   * first: contexts of thousands of requests lie far apart in memory. One after the other they took about a microsecond each (a CPU profile of 4,096 callers);
   * side by side, a quarter of that, with all else that is done here.
   */
  begin(calls: ReadonlyArray<MadeCall>, turn: WatchedTurn): void {
    const tracer = registeredTracer()
    if (tracer === undefined && !isJoining()) return
    this.#isWatching = true
    const spans = calls.map(({ parent }) => trace.getSpan(parent))
    if (tracer === undefined) {
      for (const [i, made] of calls.entries()) made.span = this.#passOn(made, spans[i])
      return
    }
    const above = spans.map((span) => span?.spanContext())
    const methods = calls.map(({ call }) => this.#methodOf(call))
    let overlooked = false
    for (let i = 0; i < calls.length; i++) {
      // sampling is decided once, at the root
      if (!isUnsampled(above[i])) above[i] = this.#begin(tracer, calls[i] as MadeCall, methods[i] as Method) // inside the bounds
      overlooked ||= above[i] !== undefined
    }
    // somebody may want to see them once they are over
    if (overlooked && this.#unsampled !== undefined) turn.overlooked = { above, methods }
  }

  /** Yields what would have been its span, where it is not sampled. */
  #begin(tracer: Tracer, made: MadeCall, method: Method): SpanContext | undefined {
    const { parent } = made
    const span = tracer.startSpan(method.name, method.options, parent)
    if (!span.isRecording()) return span.spanContext()
    const spanning = this.#spanning(tracer, method)
    const baggage = baggageText(parent, this.#baggage)
    made.span = new CallSpan(
      spanning,
      { call: span, within: trace.setSpan(parent, span), baggage },
      this.#dissents,
    )
    return undefined
  }

  /** These calls are handed to the log, or to the primary; perhaps once more. */
  sent(calls: ReadonlyArray<WaitingCall | undefined>, nowMs: number): void {
    if (!this.#isWatching) return
    for (const waiting of calls) waiting?.span?.sent()
    this.#unsampled?.sent(calls, nowMs)
  }

  /** These calls were decided together. */
  settled(settled: SettledCalls<WaitingCall>, nowMs: number): void {
    if (!this.#isWatching) return
    const { calls, outcomes, seq, decision } = settled
    for (let index = 0; index < calls.length; index++) {
      const [span, outcome] = [calls[index]?.span, outcomes[index]]
      if (span === undefined || outcome === undefined) continue
      span.settled({ outcome, seq, index, ...(decision !== undefined && { decision }) })
    }
    this.#unsampled?.settled(settled, nowMs)
  }

  /** This call has come to nothing. Yields where what happened to it belongs, if somebody will see that. */
  failed(failed: FailedCall<WaitingCall>, nowMs: number): Context | undefined {
    const { span } = failed.call
    if (span === undefined) return this.#isWatching ? this.#unsampled?.failed(failed, nowMs) : undefined
    span.failed(failed.error)
    return span.context
  }

  /** Where no SDK says anything of the call here: the span that it is made in travels, if another tracer has made it, and sampled it. */
  #passOn({ parent }: MadeCall, above: Span | undefined): PassedOn | undefined {
    if (above === undefined || (above.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return undefined
    return new PassedOn(traceOf(above, baggageText(parent, this.#baggage)))
  }

  /** A replica has voted on something that was decided. */
  late(vote: LateVote): void {
    this.#votes.late(vote)
    this.#unsampled?.late(vote)
  }

  heard(dissent: Heard): void {
    this.#dissents.heard(dissent)
  }

  /** A replica says where it tells of calls that were not sampled. */
  told(replica: string, bytes: Uint8Array): void {
    const told = decodeTold(bytes)
    if (told !== undefined) this.#votes.told(replica as ReplicaId, told) // only who votes is looked for
  }

  /** All that was decided together is known: what was heard of it is told. */
  tell(): void {
    this.#dissents.tell(this.#keep)
    this.#unsampled?.tell()
  }

  close(): void {
    this.#votes.close()
  }

  #spanning(tracer: Tracer, method: Method): Spanning {
    if (method.spanning?.tracer !== tracer)
      method.spanning = { tracer, method, sending: this.#sending, votes: this.#votes }
    return method.spanning
  }

  #methodOf({ definition: { type }, member }: Call): Method {
    if (this.#method?.of === member) return this.#method.method
    let method = this.#methods.get(member)
    if (method === undefined) {
      const name = SPANS.call(type, member.name)
      const attributes = { ...this.#telling, [ATTRIBUTES.rpcMethod]: name }
      method = {
        type,
        member: member.name,
        name,
        options: { kind: SpanKind.CLIENT, attributes },
        about: this.#about,
        vote: SPANS.vote(type, member.name),
        spanning: undefined,
      }
      this.#methods.set(member, method)
    }
    this.#method = { of: member, method }
    return method
  }
}

/** A call that is traced, or was overlooked. */
interface WaitingCall extends OverlookedCall {
  readonly span: WatchedCall | undefined
}

/** The turn in which calls were made. */
interface WatchedTurn {
  overlooked: OverlookedCalls | undefined
}

function isUnsampled(context: SpanContext | undefined): boolean {
  return context !== undefined && (context.traceFlags & TraceFlags.SAMPLED) === 0
}
