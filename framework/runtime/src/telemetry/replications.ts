import type { ReplicaId } from "@lockstep/core"
import type { RecordObservation, ShipmentObservation, ShipmentObserver } from "@lockstep/replication"
import { type Attributes, type Context, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api"
import type { HostEvent } from "../host.ts"
import { ATTRIBUTES, SCOPE, SPANS } from "./names.ts"
import { aboutPlace, type Place } from "./place.ts"

/** Commands whose context is remembered until they are recorded; some never are, because this replica is the primary no more. */
const CONTEXTS_MAX = 4096

/** Why a primary waits for a backup no more: as the protocol says, or because this replica ends, or begins anew. */
type Ending = Parameters<ShipmentObservation["end"]>[0] | "ended"

/** What somebody meant to be: that is no error. */
const MEANT: ReadonlySet<Ending> = new Set(["leaving", "removed", "hand-over", "ended"])

/** Spans of what traced commands came to, on its way from the primary to each backup. */
export class Replications implements ShipmentObserver {
  readonly #about: Attributes
  /** Of the commands that are executed, by what their caller sent: what is recorded hangs below it. */
  readonly #contexts = new Map<string, Context>()
  readonly #open = new Set<Replication>()

  constructor(place: Place) {
    this.#about = aboutPlace(place)
  }

  /** A traced command is executed here; what it comes to will be recorded. */
  executing(traceparent: string, process: Context): void {
    this.#contexts.set(traceparent, process)
    if (this.#contexts.size <= CONTEXTS_MAX) return
    for (const oldest of this.#contexts.keys()) {
      this.#contexts.delete(oldest)
      return
    }
  }

  recorded({ position, traces }: Parameters<ShipmentObserver["recorded"]>[0]): RecordObservation | undefined {
    const parents = traces.flatMap((sent) => this.#contexts.get(sent) ?? [])
    for (const sent of traces) this.#contexts.delete(sent)
    if (parents.length === 0) return undefined
    return { shipped: (backup) => this.#begin(parents, backup, position) }
  }

  event({ event }: HostEvent): void {
    if (event === "failed" || event === "halted") this.end()
  }

  /** The protocol that was watched says no more. */
  end(): void {
    for (const replication of this.#open) replication.end("ended")
    this.#contexts.clear()
  }

  #begin(parents: ReadonlyArray<Context>, backup: ReplicaId, position: number): ShipmentObservation {
    const attributes = {
      ...this.#about,
      [ATTRIBUTES.backup]: backup,
      [ATTRIBUTES.logSeq]: position,
    }
    const tracer = trace.getTracer(SCOPE)
    // no more than that: one message carries many records, and its receiver makes no span
    const options = { kind: SpanKind.INTERNAL, attributes }
    const spans = parents.map((parent) => tracer.startSpan(SPANS.replicate, options, parent))
    const replication = new Replication(spans, () => this.#open.delete(replication))
    this.#open.add(replication)
    return replication
  }
}

/** One record on its way to one backup: a span for each of its commands that is traced. */
class Replication implements ShipmentObservation {
  readonly #spans: ReadonlyArray<Span>
  readonly #onEnd: () => void

  constructor(spans: ReadonlyArray<Span>, onEnd: () => void) {
    this.#spans = spans
    this.#onEnd = onEnd
  }

  end(how: Ending): void {
    this.#onEnd()
    for (const span of this.#spans) {
      if (how !== "held") span.setAttribute(ATTRIBUTES.reason, how)
      if (how !== "held" && !MEANT.has(how)) {
        span.setAttribute(ATTRIBUTES.errorType, how)
        span.setStatus({ code: SpanStatusCode.ERROR, message: "the backup has not acknowledged it" })
      }
      span.end()
    }
  }
}
