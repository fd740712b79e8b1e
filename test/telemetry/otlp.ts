import protobuf from "protobufjs"

/** A value of an attribute, as OTLP has it. */
export interface AnyValue {
  readonly stringValue?: string
  readonly boolValue?: boolean
  /** Decimal: it has 64 bits. */
  readonly intValue?: string
  readonly doubleValue?: number
  readonly arrayValue?: { readonly values: ReadonlyArray<AnyValue> }
  readonly kvlistValue?: { readonly values: ReadonlyArray<KeyValue> }
}

export interface KeyValue {
  readonly key: string
  readonly value: AnyValue
}

interface Attributed {
  readonly attributes: ReadonlyArray<KeyValue>
}

/** Ids are hexadecimal, and empty where there is none; times are nanoseconds, decimal. */
export interface ReceivedSpan extends Attributed {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly traceState: string
  readonly flags: number
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly links: ReadonlyArray<Attributed & { readonly traceId: string; readonly spanId: string }>
  readonly events: ReadonlyArray<Attributed & { readonly name: string; readonly timeUnixNano: string }>
  readonly status: { readonly code: number; readonly message: string } | null
}

/** A histogram, a sum or a gauge: what there is of it. */
export interface ReceivedMetric {
  readonly name: string
  readonly unit: string
  readonly sum?: Points<NumberPoint> & { readonly isMonotonic: boolean }
  readonly gauge?: Points<NumberPoint>
  readonly histogram?: Points<HistogramPoint>
}

interface Points<Point> {
  readonly dataPoints: ReadonlyArray<Point>
}

interface NumberPoint extends Attributed {
  readonly asInt?: string
  readonly asDouble?: number
}

interface HistogramPoint extends Attributed {
  readonly count: string
  readonly sum?: number
  readonly bucketCounts: ReadonlyArray<string>
  readonly explicitBounds: ReadonlyArray<number>
}

export interface ReceivedRecord extends Attributed {
  readonly traceId: string
  readonly spanId: string
  readonly eventName: string
  readonly severityNumber: number
  readonly timeUnixNano: string
  readonly body: AnyValue | null
}

/** What one service says in one request. */
export interface Told<What> {
  readonly resource: Attributed
  readonly scope: string
  readonly items: ReadonlyArray<What>
}

/** What requests to these paths bring. */
export interface Signals {
  readonly traces: ReceivedSpan
  readonly metrics: ReceivedMetric
  readonly logs: ReceivedRecord
}

/** Where the definitions put it. */
const PLACES = {
  traces: { type: "trace.v1.TracesData", resources: "resourceSpans", scopes: "scopeSpans", items: "spans" },
  metrics: {
    type: "metrics.v1.MetricsData",
    resources: "resourceMetrics",
    scopes: "scopeMetrics",
    items: "metrics",
  },
  logs: { type: "logs.v1.LogsData", resources: "resourceLogs", scopes: "scopeLogs", items: "logRecords" },
} as const

const ID = /^(trace|span|parentSpan)Id$/
const definitions = new protobuf.Root()
definitions.resolvePath = (_, file) => new URL(file, import.meta.url).pathname
definitions.loadSync(
  ["trace", "metrics", "logs"].map((name) => `opentelemetry/proto/${name}/v1/${name}.proto`),
)

/** Reads a request; throws where it is none. What it brings has one shape, whichever way it was written. */
export function readRequest<Signal extends keyof Signals>(
  signal: Signal,
  { contentType, bytes }: { readonly contentType: string; readonly bytes: Uint8Array },
): ReadonlyArray<Told<Signals[Signal]>> {
  const { type, resources, scopes, items } = PLACES[signal]
  const message = definitions.lookupType(`opentelemetry.proto.${type}`)
  const read = message.decode(protobufOf(message, contentType, bytes))
  const plain = withHexadecimal(message.toObject(read, { longs: String, defaults: true })) as Plain // as it is defined
  return listOf(plain, resources).flatMap((of) =>
    listOf(of, scopes).map((within) => ({
      resource: of["resource"] as Attributed, // as it is defined
      scope: (within["scope"] as { readonly name: string } | null)?.name ?? "", // as it is defined
      items: within[items] as ReadonlyArray<Signals[Signal]>, // as it is defined
    })),
  )
}

/** The attributes by name, their values as plain ones. */
export function attributesOf({ attributes }: Attributed): Readonly<Record<string, unknown>> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plainly(value)]))
}

function plainly(value: AnyValue): unknown {
  if (value.intValue !== undefined) return Number(value.intValue)
  if (value.arrayValue !== undefined) return value.arrayValue.values.map(plainly)
  if (value.kvlistValue !== undefined) return attributesOf({ attributes: value.kvlistValue.values })
  return value.stringValue ?? value.boolValue ?? value.doubleValue
}

type Plain = Readonly<Record<string, unknown>>

function listOf(of: Plain, name: string): ReadonlyArray<Plain> {
  return of[name] as ReadonlyArray<Plain> // as it is defined
}

function protobufOf(message: protobuf.Type, contentType: string, bytes: Uint8Array): Uint8Array {
  switch (contentType) {
    case "application/x-protobuf":
      return bytes
    case "application/json":
      return fromJson(message, bytes)
    default: // OTLP/HTTP knows these two
      throw new Error(`${contentType} is neither protobuf nor JSON`)
  }
}

/** In OTLP's JSON ids are hexadecimal; in everybody else's, bytes are base64. */
function fromJson(message: protobuf.Type, bytes: Uint8Array): Uint8Array {
  const object = JSON.parse(Buffer.from(bytes).toString(), (key, value: unknown) =>
    ID.test(key) && typeof value === "string" ? Buffer.from(value, "hex") : value,
  )
  return message.encode(message.fromObject(object)).finish()
}

function withHexadecimal(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex")
  if (Array.isArray(value)) return value.map(withHexadecimal)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withHexadecimal(each)]))
}
