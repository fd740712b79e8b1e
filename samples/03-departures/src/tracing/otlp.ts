/** Spans as OTLP/JSON has them, as far as they are read here. */
export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  /** Nanoseconds since 1970, in decimal. */
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: ReadonlyArray<Attribute>
  readonly status: { readonly code?: number; readonly message?: string }
}

export interface Attribute {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

/** Spans of one process. */
export interface ResourceSpans {
  readonly resource: { readonly attributes: ReadonlyArray<Attribute> }
  readonly scopeSpans: ReadonlyArray<{ readonly scope: unknown; readonly spans: ReadonlyArray<Span> }>
}

export const CLIENT = 3
export const ERROR = 2

/** By the numbers of OTLP. */
export const KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"]

/** An attribute in words; empty where there is none of that name. */
export function textOf(attributes: ReadonlyArray<Attribute>, key: string): string {
  const value = attributes.find((attribute) => attribute.key === key)?.value ?? {}
  const [said] = Object.values(value)
  if (said === undefined) return ""
  return typeof said === "string" ? said : JSON.stringify(said)
}

export function durationMs(span: Span): number {
  return Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6
}
