import {
  type Attributes,
  type AttributeValue,
  type Context,
  type Link,
  type Span,
  type SpanContext,
  type SpanOptions,
  type TimeInput,
  trace,
  TraceFlags,
  type Tracer,
  type TracerProvider,
} from "@opentelemetry/api"

/** A span that remembers what it was told. */
export class RecordedSpan implements Span {
  readonly name: string
  readonly options: SpanOptions
  readonly parent: SpanContext | undefined
  readonly attributes: Attributes
  readonly links: Array<Link> = []
  /** When it was said to have ended, each time. */
  readonly ends: Array<TimeInput | undefined> = []
  readonly #context: SpanContext

  constructor(
    context: SpanContext = { traceId: "a".repeat(32), spanId: "b".repeat(16), traceFlags: 1 },
    name = "",
    options: SpanOptions = {},
    parent?: SpanContext,
  ) {
    this.#context = context
    this.name = name
    this.options = options
    this.parent = parent
    this.attributes = { ...options.attributes }
  }

  /** The links' spans, and what is said of them. */
  get linked(): ReadonlyArray<readonly [string, Attributes | undefined]> {
    return this.links.map(({ context, attributes }) => [context.spanId, attributes])
  }

  /** When it began and ended, milliseconds since 1970. */
  get times(): readonly [number, number] {
    return [Number(this.options.startTime), Number(this.ends.at(-1))]
  }

  spanContext(): SpanContext {
    return this.#context
  }

  setAttribute(key: string, value: AttributeValue): this {
    this.attributes[key] = value
    return this
  }

  setAttributes(attributes: Attributes): this {
    Object.assign(this.attributes, attributes)
    return this
  }

  addEvent(): this {
    return this
  }

  addLink(link: Link): this {
    this.links.push(link)
    return this
  }

  addLinks(links: Array<Link>): this {
    this.links.push(...links)
    return this
  }

  setStatus(): this {
    return this
  }

  updateName(): this {
    return this
  }

  end(endTime?: TimeInput): void {
    this.ends.push(endTime)
  }

  isRecording(): boolean {
    return this.ends.length === 0
  }

  recordException(): void {
    throw new Error("nobody records exceptions here")
  }
}

/** Makes spans as an SDK does that follows the parent, and samples no root; registered until it is disposed of. */
export class Recorder implements TracerProvider, Disposable {
  readonly spans: Array<RecordedSpan> = []
  #made = 0

  constructor() {
    trace.setGlobalTracerProvider(this)
  }

  named(name: string): ReadonlyArray<RecordedSpan> {
    return this.spans.filter((span) => span.name === name)
  }

  getTracer(): Tracer {
    return {
      startSpan: (name: string, options: SpanOptions = {}, context?: Context) =>
        this.#start(name, options, context && trace.getSpanContext(context)),
      startActiveSpan: () => {
        throw new Error("nobody makes spans like that here")
      },
    }
  }

  [Symbol.dispose](): void {
    trace.disable()
  }

  #start(name: string, options: SpanOptions, parent: SpanContext | undefined): Span {
    const spanId = (++this.#made).toString(16).padStart(16, "0")
    const traceId = parent?.traceId ?? spanId.repeat(2)
    if (parent === undefined || (parent.traceFlags & TraceFlags.SAMPLED) === 0)
      return trace.wrapSpanContext({ traceId, spanId, traceFlags: TraceFlags.NONE })
    const span = new RecordedSpan({ traceId, spanId, traceFlags: TraceFlags.SAMPLED }, name, options, parent)
    this.spans.push(span)
    return span
  }
}
