import { isSpanContextValid, trace } from "@opentelemetry/api"

/** The caller's trace context as a W3C traceparent, to travel inside the envelope; undefined where there is none. */
export function activeTraceparent(): string | undefined {
  const context = trace.getActiveSpan()?.spanContext()
  if (context === undefined || !isSpanContextValid(context)) return undefined
  return `00-${context.traceId}-${context.spanId}-${context.traceFlags.toString(16).padStart(2, "0")}`
}
