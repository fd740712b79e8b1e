import type { ActorDefinition, Observation, Observer, TracedCommand } from "@lockstep/actor"
import { type ClientId, digest } from "@lockstep/core"
import type { ReplicationMode } from "@lockstep/replication"
import {
  type Attributes,
  context,
  type Context,
  createContextKey,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  trace,
} from "@opentelemetry/api"
import { Afterwards } from "./afterwards.ts"
import { admitSpan, admitTracer, within } from "./in-commands.ts"
import { ATTRIBUTES, MESSAGING_SYSTEM, SCOPE, SPANS } from "./names.ts"
import { aboutPlace, destinationOf, type Place } from "./place.ts"
import type { Replications } from "./replications.ts"
import { contextOf } from "./traceparent.ts"

/** Spans of the commands that one replica executes, of those that are traced. */
export class Executions implements Observer {
  readonly #destination: string
  readonly #about: Attributes
  readonly #afterwards: Afterwards
  readonly #replications: Replications

  constructor({ mode, definitions, ...place }: Executed, replications: Replications) {
    this.#replications = replications
    const { template, destination } = destinationOf(mode, place)
    this.#destination = destination
    this.#about = {
      [ATTRIBUTES.messagingSystem]: MESSAGING_SYSTEM,
      [ATTRIBUTES.messagingOperation]: "process",
      [ATTRIBUTES.messagingTemplate]: template,
      [ATTRIBUTES.messagingDestination]: this.#destination,
      ...aboutPlace(place),
      [ATTRIBUTES.mode]: mode.kind,
    }
    this.#afterwards = new Afterwards(
      (type, member) => definitions.get(type)?.members.has(member) === true,
      (command, startTime) => this.#start(command, startTime),
    )
  }

  unseen<Result>(command: () => Result): Result {
    return context.with(UNTRACED, command)
  }

  begin(command: TracedCommand): Observation {
    const started = this.#start(command)
    return started === undefined ? UNSEEN : new Running(started)
  }

  batchBegins(seq: number, orderedMs: number): void {
    this.#afterwards.batchBegins(seq, orderedMs)
  }

  batchEnds(outcomes: Uint8Array, count: number): void {
    this.#afterwards.batchEnds(outcomes, count)
  }

  /** A client asks for what was not told: see `Afterwards`. */
  hear(notice: Uint8Array, answer: (to: ClientId, bytes: Uint8Array) => void): void {
    this.#afterwards.hear(notice, answer)
  }

  /** `startTime`: milliseconds since 1970, where that is not now. */
  #start(
    { trace: sent, type, member, seq, orderedMs, kind }: Placed,
    startTime?: number,
  ): Started | undefined {
    const parent = contextOf(sent)
    if (parent === undefined) return undefined
    const attributes: Attributes = { ...this.#about }
    if (seq > 0) attributes[ATTRIBUTES.logSeq] = seq
    if (orderedMs !== undefined)
      attributes[ATTRIBUTES.applyLag] = Math.max(0, (startTime ?? Date.now()) - orderedMs) / 1000
    const tracer = trace.getTracer(SCOPE)
    admitTracer(tracer)
    const time = startTime === undefined ? {} : { startTime }
    const process = tracer.startSpan(
      SPANS.process(this.#destination),
      { kind: SpanKind.CONSUMER, attributes, ...time },
      parent,
    )
    if (kind === "command") this.#replications.executing(sent, trace.setSpan(parent, process))
    const apply = tracer.startSpan(
      SPANS.apply(type, member),
      { kind: SpanKind.INTERNAL, ...time },
      trace.setSpan(parent, process),
    )
    return { process, apply: admitSpan(apply), inside: trace.setSpan(parent, apply) }
  }
}

/** Where commands are executed, and which ones there are. */
type Executed = Place & {
  readonly mode: ReplicationMode
  readonly definitions: ReadonlyMap<string, ActorDefinition>
}

type Placed = Omit<TracedCommand, "key">

/** The spans of one command. */
export interface Started {
  readonly process: Span
  readonly apply: Span
  /** In which the command runs. */
  readonly inside: Context
}

class Running implements Observation {
  readonly span: string | undefined
  readonly #process: Span
  readonly #apply: Span
  readonly #context: Context

  constructor({ process, apply, inside }: Started) {
    this.span = process.isRecording() ? process.spanContext().spanId : undefined
    this.#process = process
    this.#apply = apply
    this.#context = inside
  }

  run<Result>(command: () => Result): Result {
    return within(this.#context, command)
  }

  end(outcome: Uint8Array): void {
    this.#apply.end()
    this.#process.setAttribute(ATTRIBUTES.outputDigest, digest(outcome))
    this.#process.end()
  }
}

/** In it, an SDK begins no spans: a command's own would each be the root of a trace that nobody sampled. The key is that of `@opentelemetry/core`. */
const UNTRACED = ROOT_CONTEXT.setValue(
  createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING"),
  true,
)

/** What sent it said nothing that could be hung below it. */
const UNSEEN: Observation = {
  span: undefined,
  run: (command) => context.with(UNTRACED, command),
  end: () => undefined,
}
