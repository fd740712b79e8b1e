import { logs, metrics, propagation, SpanStatusCode, trace } from "@opentelemetry/api"
import type { ReplicationMode } from "@lockstep/replication"
import { type ActorContext, Command, Query, Replicated, stateMachine } from "lockstep"
import { z } from "zod"

const tracer = trace.getTracer("test/audited")
const logger = logs.getLogger("test/audited")
const counter = metrics.getMeter("test/audited").createCounter("audited.records")

const Patient = z.string().refine(() => new Promise<boolean>((resolve) => setTimeout(resolve, 1, true)))

/** An actor that tells OpenTelemetry what it does, as any code would. */
export function auditedIn(mode: ReplicationMode) {
  @Replicated({ name: "test/Audited", version: 1, mode })
  class Audited {
    ids: Array<string> = []

    constructor() {
      tracer.startSpan("construct").end()
    }

    /** Returns the place of the entry, from 0. */
    @Command()
    record(id: string): number {
      return tracer.startActiveSpan("audit", { attributes: { id } }, (span) => {
        span.setAttribute("tenant", propagation.getActiveBaggage()?.getEntry("tenant")?.value ?? "none")
        span.addEvent("checked").recordException(new Error("none"))
        tracer.startSpan("inner").end()
        tracer.startSpan("detached", { root: true }).end()
        counter.add(1)
        logger.emit({ eventName: "recorded", body: id })
        trace.getActiveSpan()?.setStatus({ code: SpanStatusCode.OK }).addEvent("active")
        span.end()
        return this.ids.push(id) - 1
      })
    }

    @Command()
    clock(): number {
      return tracer.startActiveSpan("clock", () => Date.now())
    }

    /** Decides by what differs from replica to replica, or from one run to the next. */
    @Command()
    decide(_: string, context: ActorContext): string {
      const span = tracer.startSpan("decide")
      span.end()
      return `${context.seq} ${span.spanContext().spanId}`
    }

    /** Its schema waits, in the caller. */
    @Command({ args: [Patient] })
    greet(name: string): string {
      return `hello ${name}`
    }

    @Query()
    all(): ReadonlyArray<string> {
      return tracer.startActiveSpan("read", (span) => {
        span.end()
        return this.ids
      })
    }
  }
  return Audited
}

/** What a replica process hosts. */
export const actors = [auditedIn(stateMachine({ faults: 1, faultModel: "byzantine" }))]
