import { ByteReader, ByteWriter, type Slice } from "./bytes.ts"
import { readFields, readValue } from "./canonical/decoder.ts"
import { Unsupported, writeFields, writeValue, type Writing } from "./canonical/encoder.ts"
import type { Canonical } from "./canonical/format.ts"

export { Unsupported } from "./canonical/encoder.ts"
export { type Canonical, DEPTH_MAX } from "./canonical/format.ts"

// Canonical bytes: one value, one encoding; one encoding, one value. Votes compare digests of these bytes, so two
// replicas that computed the same value must write the same bytes, and two that did not must not. −0, NaN, bigint,
// undefined and ill-formed strings are all kept apart.

/**
 * The canonical bytes of an argument or a result. The keys of objects are sorted; a Buffer is a Uint8Array, an object
 * without a prototype is a plain one, and an array is its items, whatever other properties it has. Throws
 * {@link Unsupported}, and nothing else, whatever the value is.
 */
export function encode(value: unknown, name = "value"): Buffer {
  scratch.reset()
  encodeInto(scratch, value, name)
  return scratch.take()
}

/**
 * As {@link encode}, beside what was encoded in this way before: small values share a buffer, which is kept as long as any of them is.
 */
export function encodeShared(value: unknown, name = "value"): Slice {
  if (shared.length >= SHARED_BYTES) shared = new ByteWriter(SHARED_BYTES)
  const start = shared.length
  encodeInto(shared, value, name)
  return shared.since(start)
}

/** As {@link encode}, at the end of `writer`; a failed value leaves the writer as it was. */
export function encodeInto(writer: ByteWriter, value: unknown, name = "value"): void {
  const start = writer.length
  try {
    writeValue(writer, value, VALUE, 0)
  } catch (cause) {
    writer.truncate(start)
    throw named(cause, name)
  }
}

/**
 * The canonical bytes of a state: the fields of an actor, or of a plain object. The keys of objects keep their order of
 * insertion, because an actor can observe it. What recovery could not restore is refused: an object that is reachable twice
 * would be two objects, a Buffer a Uint8Array. (That an object is frozen is not kept.) Throws {@link Unsupported}.
 */
export function encodeState(state: object, name = "state"): Buffer {
  scratch.reset()
  encodeStateInto(scratch, state, name)
  return scratch.take()
}

/** As {@link encodeState}, at the end of `writer`; a failed state leaves the writer as it was. */
export function encodeStateInto(writer: ByteWriter, state: object, name = "state"): void {
  const start = writer.length
  try {
    writeFields(writer, state, { purpose: "state", met: new Set(), kinds, keys })
  } catch (cause) {
    writer.truncate(start)
    throw named(cause, name)
  }
}

/** The value that has these bytes. Throws {@link Malformed} for bytes that {@link encode} does not write. */
export function decode(bytes: Uint8Array): Canonical {
  const reader = new ByteReader(bytes)
  const value = readValue(reader, "value", 0)
  reader.end()
  return value
}

/** As {@link decode}, of the next value of `reader`. */
export function decodeFrom(reader: ByteReader): Canonical {
  return readValue(reader, "value", 0)
}

/** The fields that have these bytes. Throws {@link Malformed} for bytes that {@link encodeState} does not write. */
export function decodeState(bytes: Uint8Array): { readonly [key: string]: Canonical } {
  const reader = new ByteReader(bytes)
  const state = readFields(reader)
  reader.end()
  return state
}

const kinds: Array<number> = []
const keys: Array<unknown> = []
const VALUE: Writing = { purpose: "value", met: undefined, kinds, keys }
const scratch = new ByteWriter(4096)
const SHARED_BYTES = 16 * 1024
let shared = new ByteWriter(SHARED_BYTES)

/** The error with the name of the whole value in front of its path. A value has no code that is run, unless it cheats. */
function named(cause: unknown, name: string): Unsupported {
  if (cause instanceof Unsupported) return new Unsupported(`${name}${cause.path}`, cause.reason)
  const reason = "cannot be read: a part of it is a proxy, or is not what its prototype says"
  return new Unsupported(name, reason, { cause })
}
