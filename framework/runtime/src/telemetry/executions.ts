import type { Observation, Observer, TracedCommand } from "@lockstep/actor"
import { digest } from "@lockstep/core"
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
import { admitSpan, admitTracer, within } from "./in-commands.ts"
import { ATTRIBUTES, MESSAGING_SYSTEM, SCOPE, SPANS } from "./names.ts"
import { aboutPlace, destinationOf, type Place } from "./place.ts"
import type { Replications } from "./replications.ts"
import { contextOf } from "./traceparent.ts"

/** Spans of the commands that one replica executes, of those that are traced. */
export class Executions implements Observer {
  readonly #destination: string
  readonly #about: Attributes
  readonly #replications: Replications

  constructor({ mode, ...place }: Place & { readonly mode: ReplicationMode }, replications: Replications) {
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
  }

  unseen<Result>(command: () => Result): Result {
    return context.with(UNTRACED, command)
  }

  begin({ trace: traceparent, type, member, seq, orderedMs, kind }: TracedCommand): Observation {
    const parent = contextOf(traceparent)
    if (parent === undefined) return UNSEEN
    const attributes: Attributes = { ...this.#about }
    if (seq > 0) attributes[ATTRIBUTES.logSeq] = seq
    if (orderedMs !== undefined) attributes[ATTRIBUTES.applyLag] = Math.max(0, Date.now() - orderedMs) / 1000
    const tracer = trace.getTracer(SCOPE)
    admitTracer(tracer)
    const process = tracer.startSpan(
      SPANS.process(this.#destination),
      { kind: SpanKind.CONSUMER, attributes },
      parent,
    )
    if (kind === "command") this.#replications.executing(traceparent, trace.setSpan(parent, process))
    const apply = tracer.startSpan(
      SPANS.apply(type, member),
      { kind: SpanKind.INTERNAL },
      trace.setSpan(parent, process),
    )
    return new Running(process, admitSpan(apply), trace.setSpan(parent, apply))
  }
}

class Running implements Observation {
  readonly #process: Span
  readonly #apply: Span
  readonly #context: Context

  constructor(process: Span, apply: Span, inside: Context) {
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
  run: (command) => context.with(UNTRACED, command),
  end: () => undefined,
}
