import {
  type Context,
  createTraceState,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  trace,
  type TraceState,
} from "@opentelemetry/api"
import { BAGGAGE_LENGTH_MAX, withBaggage } from "./baggage.ts"

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/
/** Characters of a tracestate, at most: what W3C Trace Context asks everybody to pass on. */
export const TRACESTATE_LENGTH_MAX = 512
const TRACESTATE = /^[ -~]+$/
export const TRACEPARENT_LENGTH = 55
const TRACE_LENGTH_MAX = TRACEPARENT_LENGTH + 1 + TRACESTATE_LENGTH_MAX + 1 + BAGGAGE_LENGTH_MAX

/**
 * What travels with a traced call, inside the envelope: the W3C traceparent of a span, mostly that alone; then its tracestate and baggage, a line each.
 * Undefined where there is no span.
 */
export function traceOf(span: Span, baggage = ""): string | undefined {
  const traceparent = traceparentOf(span)
  if (traceparent === undefined) return undefined
  const tracestate = tracestateOf(span.spanContext().traceState)
  if (baggage !== "") return `${traceparent}\n${tracestate}\n${baggage}`
  return tracestate === "" ? traceparent : `${traceparent}\n${tracestate}`
}

/** A span's context as a W3C traceparent; undefined where there is none. */
export function traceparentOf(span: Span | undefined): string | undefined {
  const context = span?.spanContext()
  if (context === undefined || !isSpanContextValid(context)) return undefined
  return `00-${context.traceId}-${context.spanId}-${context.traceFlags.toString(16).padStart(2, "0")}`
}

/**
 * The context that travelled here, as a parent for what happens here; undefined for a text that names none. A tracestate, or baggage, that is malformed or
 * too long is not there.
 */
export function contextOf(text: string): Context | undefined {
  // mostly it is that alone, and was read from the log a moment ago: what follows it costs more than all the rest
  if (text.length === TRACEPARENT_LENGTH) {
    const parent = parentOf(text)
    return parent && trace.setSpanContext(ROOT_CONTEXT, parent)
  }
  if (text.length > TRACE_LENGTH_MAX) return undefined
  const [traceparent = "", tracestate = "", baggage = "", ...others] = text.split("\n")
  const parent = parentOf(traceparent)
  if (parent === undefined || others.length > 0) return undefined
  const traceState = createTraceState(isTracestate(tracestate) ? tracestate : "")
  const spanContext = traceState.serialize() === "" ? parent : { ...parent, traceState }
  return withBaggage(trace.setSpanContext(ROOT_CONTEXT, spanContext), baggage)
}

function parentOf(traceparent: string): SpanContext | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  const parent = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
  return isSpanContextValid(parent) ? parent : undefined
}

function tracestateOf(state: TraceState | undefined): string {
  const text = state?.serialize() ?? ""
  return isTracestate(text) ? text : ""
}

function isTracestate(text: string): boolean {
  return text.length <= TRACESTATE_LENGTH_MAX && TRACESTATE.test(text)
}
