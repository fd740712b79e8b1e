import type { Attributes, Link, Span, SpanContext, TimeInput } from "@opentelemetry/api"

/** A span that remembers what it was told. */
export class RecordedSpan implements Span {
  readonly links: Array<Link> = []
  /** When it was said to have ended, each time. */
  readonly ends: Array<TimeInput | undefined> = []
  readonly #context: SpanContext

  constructor(context: SpanContext = { traceId: "a".repeat(32), spanId: "b".repeat(16), traceFlags: 1 }) {
    this.#context = context
  }

  /** The links' spans, and what is said of them. */
  get linked(): ReadonlyArray<readonly [string, Attributes | undefined]> {
    return this.links.map(({ context, attributes }) => [context.spanId, attributes])
  }

  spanContext(): SpanContext {
    return this.#context
  }

  setAttribute(): this {
    return this
  }

  setAttributes(): this {
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
