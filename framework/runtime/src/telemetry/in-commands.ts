import { type Admitted, guard } from "@lockstep/actor"
import {
  context,
  type Context,
  createNoopMeter,
  diag,
  INVALID_SPAN_CONTEXT,
  isSpanContextValid,
  logs,
  metrics,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type Span,
  type SpanOptions,
  trace,
  type Tracer,
} from "@opentelemetry/api"
import { PROBE_SCOPE, SCOPE } from "./names.ts"

/**
 * Lets commands use what the program has registered with OpenTelemetry: an SDK asks clocks and chance, which are forbidden to commands. Its methods are
 * wrapped in place, because actors may have their tracer already; they run without the guard, and what they throw is no error of the command, because
 * other replicas may have another SDK, or none.
 */
export function admitTelemetry(): void {
  const tracer = registeredTracer()
  if (tracer !== undefined) admitTracer(tracer)
  const starting = trace.getActiveSpan()
  if (starting !== undefined) admitSpan(starting) // it is active in all that follows, commands too
  const logger = logs.getLogger(SCOPE)
  guard.admit(logger, ["emit"], emitInCommand)
  guard.admit(logger, ["enabled"], quietly(true))
  const meter = metrics.getMeter(PROBE_SCOPE)
  if (meter === createNoopMeter()) return
  // their classes have no other way in; what nobody records is not exported
  guard.admit(meter.createCounter("counter"), ["add"], quietly(undefined))
  guard.admit(meter.createUpDownCounter("up-down-counter"), ["add"], quietly(undefined))
  guard.admit(meter.createHistogram("histogram"), ["record"], quietly(undefined))
  guard.admit(meter.createGauge("gauge"), ["record"], quietly(undefined))
}

/** The one that the program has registered, if it has. */
export function registeredTracer(): Tracer | undefined {
  const provider = trace.getTracerProvider()
  return provider instanceof ProxyTracerProvider
    ? provider.getDelegateTracer(SCOPE)
    : provider.getTracer(SCOPE)
}

/** Calls this while spans that are begun hang below this context, also where no context manager is registered. */
export function within<Result>(parent: Context, run: () => Result): Result {
  const before = surrounding
  surrounding = parent
  try {
    return context.with(parent, run)
  } finally {
    surrounding = before
  }
}

/** What the running command's own spans hang below; undefined where nobody traces it. */
let surrounding: Context | undefined

export function admitTracer(tracer: Tracer): void {
  if (!isNew(tracer)) return
  guard.admit(tracer, ["startSpan"], startSpan)
  guard.admit(tracer, ["startActiveSpan"], startActiveSpan)
}

export function admitSpan<Some extends Span>(span: Some): Some {
  if (!isNew(span)) return span
  guard.admit(span, SPAN_METHODS, ({ self, isSilent, original }) =>
    isSilent || surrounding === undefined ? self : (attempt(original) ?? self),
  )
  return span
}

/** Whether its methods may not be admitted yet: those of another object of its class are its own. */
function isNew(owner: object): boolean {
  const ofClass: unknown = Object.getPrototypeOf(owner)
  if (typeof ofClass !== "object" || ofClass === null || ofClass === Object.prototype) return true
  if (classes.has(ofClass)) return false
  classes.add(ofClass)
  return true
}

const classes = new WeakSet<object>()

const SPAN_METHODS: ReadonlyArray<keyof Span> = [
  "setAttribute",
  "setAttributes",
  "addEvent",
  "addLink",
  "addLinks",
  "setStatus",
  "updateName",
  "end",
  "recordException",
]

const NO_SPAN = trace.wrapSpanContext(INVALID_SPAN_CONTEXT)

/** Below the command or one of its own spans, wherever it says to begin; otherwise each replica would begin a trace of its own. */
const startSpan: Admitted = ({ args, isSilent, original }) => {
  const [name, options, given] = args as Parameters<Tracer["startSpan"]> // of a Tracer
  const parent = parentOf(given)
  if (isSilent || parent === undefined) return NO_SPAN
  const span = attempt(() => original([name, { ...options, root: false }, parent]) as Span | undefined) // it starts spans
  return span === undefined ? NO_SPAN : admitSpan(span)
}

const startActiveSpan: Admitted = ({ self, args, isSilent }) => {
  const run = args.at(-1)
  if (typeof run !== "function") return undefined
  const [name, options, given] = args.slice(0, -1) as [string, SpanOptions?, Context?] // what is before the function
  const parent = parentOf(given)
  if (isSilent || parent === undefined) return Reflect.apply(run, undefined, [NO_SPAN]) as unknown // as the command wants it
  const span = (self as Tracer).startSpan(name, options, parent) // whose method this is
  return within(trace.setSpan(parent, span), () => Reflect.apply(run, undefined, [span]) as unknown) // as the command wants it
}

const emitInCommand: Admitted = ({ args, isSilent, original }) => {
  if (isSilent) return
  const [record] = args as Parameters<ReturnType<typeof logs.getLogger>["emit"]> // of a Logger
  attempt(() => original([{ ...record, context: record.context ?? parentOf(undefined) ?? ROOT_CONTEXT }]))
}

function quietly(silent: unknown): Admitted {
  return ({ isSilent, original }) => (isSilent ? silent : attempt(original))
}

/** The context that was given, or is active, where it has a span. */
function parentOf(given: Context | undefined): Context | undefined {
  if (surrounding === undefined) return undefined
  const parent = given ?? context.active()
  const above = trace.getSpanContext(parent)
  return above !== undefined && isSpanContextValid(above) ? parent : surrounding
}

function attempt<Result>(call: () => Result): Result | undefined {
  try {
    return call()
  } catch (cause) {
    diag.error("lockstep: what a command told OpenTelemetry was lost", cause)
    return undefined
  }
}
