import { ClientId, decode, encode, Malformed, NAME_LENGTH_MAX, SPAN_ID_LENGTH_MAX } from "@lockstep/core"
import { TRACEPARENT_LENGTH, TRACESTATE_LENGTH_MAX } from "./traceparent.ts"

/** Calls that one notice names, at most. */
export const NOTICE_CALLS_MAX = 8
const BYTES_MAX = 8 * 1024
/** No baggage goes with it. */
const TRACE_LENGTH_MAX = TRACEPARENT_LENGTH + 1 + TRACESTATE_LENGTH_MAX

/** A client has heard a dissent about calls that were not sampled, and tells replicas where to tell of them after all. */
export interface Notice {
  /** Where it wants to hear of it. */
  readonly client: ClientId
  /** The position that was decided on. */
  readonly seq: number
  readonly calls: ReadonlyArray<NoticedCall>
}

export interface NoticedCall {
  /** Its place in the batch. */
  readonly index: number
  readonly type: string
  readonly member: string
  /** The span that stands for its sending: a traceparent, and a tracestate where there is one. */
  readonly trace: string
}

/** A replica answers a notice: where it tells of these commands, by their index in the batch. */
export interface Told {
  readonly seq: number
  readonly spans: ReadonlyMap<number, string>
}

export function encodeNotice({ client, seq, calls }: Notice): Buffer {
  return encode({
    client,
    seq,
    calls: calls.map(({ index, type, member, trace }) => [index, type, member, trace]),
  })
}

/** Undefined where it is none: any client may write there, and anything. */
export function decodeNotice(bytes: Uint8Array): Notice | undefined {
  return understood(bytes, (fields) => {
    const client = ClientId(textOf(fields["client"], 64))
    const calls = arrayOf(fields["calls"]).map((call) => {
      const [index, type, member, trace] = arrayOf(call)
      return {
        index: countOf(index),
        type: textOf(type, NAME_LENGTH_MAX),
        member: textOf(member, NAME_LENGTH_MAX),
        trace: textOf(trace, TRACE_LENGTH_MAX),
      }
    })
    return { client, seq: countOf(fields["seq"]), calls }
  })
}

/** On the subject of the replica's votes, where nothing else begins like it. */
export function encodeTold({ seq, spans }: Told): Buffer {
  return Buffer.concat([
    Buffer.of(TOLD),
    encode({ seq, calls: [...spans].map(([index, id]) => [index, id]) }),
  ])
}

export function isTold(bytes: Uint8Array): boolean {
  return bytes[0] === TOLD
}

/** Undefined where it is none. */
export function decodeTold(bytes: Uint8Array): Told | undefined {
  return understood(bytes.subarray(1), (fields) => {
    const spans = arrayOf(fields["calls"]).map((call): readonly [number, string] => {
      const [index, id] = arrayOf(call)
      return [countOf(index), textOf(id, SPAN_ID_LENGTH_MAX)]
    })
    return { seq: countOf(fields["seq"]), spans: new Map(spans) }
  })
}

/** A vote begins with another byte. */
const TOLD = 0x53

function understood<Value>(
  bytes: Uint8Array,
  read: (fields: Readonly<Record<string, unknown>>) => Value,
): Value | undefined {
  if (bytes.length > BYTES_MAX) return undefined
  try {
    const value = decode(bytes)
    if (typeof value !== "object" || value === null) return undefined
    return read(value as Readonly<Record<string, unknown>>) // whatever it has, its fields are looked at one by one
  } catch (cause) {
    // a TypeError: a name that is none
    if (cause instanceof Malformed || cause instanceof TypeError) return undefined
    throw cause
  }
}

function arrayOf(value: unknown): ReadonlyArray<unknown> {
  if (!Array.isArray(value) || value.length > NOTICE_CALLS_MAX) throw new Malformed("no list, or too long")
  return value as ReadonlyArray<unknown> // of anything
}

function textOf(value: unknown, lengthMax: number): string {
  if (typeof value !== "string" || value.length > lengthMax) throw new Malformed("no text, or too long")
  return value
}

function countOf(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw new Malformed("no count")
  return value
}
