import { AsyncLocalStorage } from "node:async_hooks"
import {
  context,
  type Context,
  isSpanContextValid,
  ROOT_CONTEXT,
  trace,
  TraceFlags,
} from "@opentelemetry/api"

/** A span that is no span of OpenTelemetry's API, such as one of Effect. */
export interface ForeignSpan {
  readonly traceId: string
  readonly spanId: string
  readonly isSampled: boolean
  readonly isRemote: boolean
}

/** Calls that this makes, at once or when their schemas have waited, join this span: whatever context manager there is, or none. */
export function joining<Result>(
  { traceId, spanId, isSampled, isRemote }: ForeignSpan,
  run: () => Result,
): Result {
  const span = { traceId, spanId, isRemote, traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE }
  isUsed = true
  const active = context.active()
  // where it is known already, more may be known of it
  if (!isSpanContextValid(span) || trace.getSpanContext(active)?.spanId === spanId) return run()
  const parent = trace.setSpanContext(active, span)
  return context.with(parent, () => {
    if (context.active() === parent) return run()
    joined ??= new AsyncLocalStorage()
    return joined.run(parent, run)
  })
}

/** Whether any call has joined a span in this way. */
export function isJoining(): boolean {
  return isUsed
}

let isUsed = false

/** Where a call is made. */
export function surroundings(): Context {
  const active = context.active()
  return active === ROOT_CONTEXT ? (joined?.getStore() ?? active) : active
}

/** Where no context manager is registered. */
let joined: AsyncLocalStorage<Context> | undefined
