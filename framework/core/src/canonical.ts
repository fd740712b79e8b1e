import { ByteReader, ByteWriter, Malformed } from "./bytes.ts"

/**
 * Canonical bytes: one value, one encoding; one encoding, one value. Votes compare digests of these bytes, so two
 * replicas that computed the same value must write the same bytes, and two that did not must not. −0, NaN, bigint,
 * undefined and ill-formed strings are all kept apart.
 *
 * Supported: undefined, null, boolean, number, bigint, string, Uint8Array, Date, Array, Map, Set and plain objects.
 */
export type Canonical =
  | undefined
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Date
  | ReadonlyArray<Canonical>
  | ReadonlyMap<Canonical, Canonical>
  | ReadonlySet<Canonical>
  | { readonly [key: string]: Canonical }

/** A value (or a part of one, at `path`) that has no canonical bytes. */
export class Unsupported extends TypeError {
  readonly _tag = "Unsupported"
  override readonly name = "Unsupported"
  readonly path: string
  readonly reason: string

  constructor(path: string, reason: string) {
    super(`${path} ${reason}`)
    this.path = path
    this.reason = reason
  }
}

/** How deep values may nest; a cycle is deeper than any limit. */
export const DEPTH_MAX = 64

/** The canonical bytes of an argument or a result: object keys are sorted. Throws {@link Unsupported}. */
export function encode(value: unknown, name = "value"): Buffer {
  scratch.reset()
  encodeInto(scratch, value, name)
  return scratch.take()
}

/** As {@link encode}, at the end of `writer`; a failed value leaves the writer as it was. */
export function encodeInto(writer: ByteWriter, value: unknown, name = "value"): void {
  const start = writer.length
  try {
    write(writer, value, SORTED, 0)
  } catch (cause) {
    writer.truncate(start)
    throw named(cause, name)
  }
}

/**
 * The canonical bytes of a state. Object keys keep their order of insertion, because an actor can observe it, and
 * the state must be a tree: an object that is reachable twice would be two objects after recovery.
 */
export function encodeState(state: object, name = "state"): Buffer {
  scratch.reset()
  const context: Order = { sorted: false, seen: new Set(), trail: [] }
  try {
    writeObject(scratch, state as Record<string, unknown>, context, 0) // an actor's own fields are read as a record
    return scratch.take()
  } catch (cause) {
    throw named(cause, name, context)
  }
}

/** The value that has these bytes. Throws {@link Malformed} for bytes that {@link encode} does not write. */
export function decode(bytes: Uint8Array): Canonical {
  const reader = new ByteReader(bytes)
  const value = read(reader, SORTED, 0)
  reader.end()
  return value
}

/** As {@link decode}, of the next value of `reader`. */
export function decodeFrom(reader: ByteReader): Canonical {
  return read(reader, SORTED, 0)
}

/** The fields that {@link encodeState} wrote. */
export function decodeState(bytes: Uint8Array): { readonly [key: string]: Canonical } {
  const reader = new ByteReader(bytes)
  if (reader.byte() !== Tag.Object) throw new Malformed("a state is an object")
  const state = readObject(reader, INSERTED, 0)
  reader.end()
  return state
}

const Tag = {
  Null: 0,
  Undefined: 1,
  False: 2,
  True: 3,
  Natural: 4,
  Negative: 5,
  Float: 6,
  BigNatural: 7,
  BigNegative: 8,
  BigPositiveBytes: 9,
  BigNegativeBytes: 10,
  String: 11,
  IllFormedString: 12,
  Bytes: 13,
  Date: 14,
  Array: 15,
  Object: 16,
  Map: 17,
  Set: 18,
} as const

interface Order {
  readonly sorted: boolean
  /** Objects met so far, where each may be met once. */
  readonly seen: Set<object> | undefined
  /** The keys on the way to the value being written: only an error reads them. */
  readonly trail: Array<string>
}

const SORTED: Order = { sorted: true, seen: undefined, trail: [] }
const INSERTED: Order = { sorted: false, seen: undefined, trail: [] }
const scratch = new ByteWriter(4096)
const SAFE = BigInt(Number.MAX_SAFE_INTEGER)

function write(writer: ByteWriter, value: unknown, order: Order, depth: number): void {
  switch (typeof value) {
    case "string":
      return writeString(writer, value)
    case "number":
      return writeNumber(writer, value)
    case "bigint":
      return writeBigint(writer, value)
    case "boolean":
      return writer.byte(value ? Tag.True : Tag.False)
    case "undefined":
      return writer.byte(Tag.Undefined)
    case "object":
      return value === null ? writer.byte(Tag.Null) : writeContainer(writer, value, order, depth)
    default:
      throw refused(order, depth, `is a ${typeof value}: only data can be replicated`)
  }
}

function writeString(writer: ByteWriter, text: string): void {
  if (text.isWellFormed()) {
    writer.byte(Tag.String)
    writer.string(text)
  } else {
    writer.byte(Tag.IllFormedString)
    writer.bytes(Buffer.from(text, "utf16le"))
  }
}

function writeNumber(writer: ByteWriter, value: number): void {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    writer.byte(value >= 0 ? Tag.Natural : Tag.Negative)
    writer.varint(value >= 0 ? value : -1 - value)
  } else {
    writer.byte(Tag.Float)
    writer.float64(Number.isNaN(value) ? Number.NaN : value)
  }
}

function writeBigint(writer: ByteWriter, value: bigint): void {
  if (value >= 0n ? value <= SAFE : value >= -SAFE) {
    writer.byte(value >= 0n ? Tag.BigNatural : Tag.BigNegative)
    writer.varint(value >= 0n ? Number(value) : -1 - Number(value))
  } else {
    writer.byte(value > 0n ? Tag.BigPositiveBytes : Tag.BigNegativeBytes)
    const hex = (value > 0n ? value : -value).toString(16)
    writer.bytes(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex"))
  }
}

function writeContainer(writer: ByteWriter, value: object, order: Order, depth: number): void {
  if (depth >= DEPTH_MAX) throw refused(order, depth, `is nested deeper than ${DEPTH_MAX} levels, or cyclic`)
  if (order.seen !== undefined) {
    if (order.seen.has(value))
      throw refused(
        order,
        depth,
        "is reachable by two paths: state is a tree, so store a copy or a key instead",
      )
    order.seen.add(value)
  }
  if (Array.isArray(value)) {
    writer.byte(Tag.Array)
    writer.varint(value.length)
    for (let i = 0; i < value.length; i++) {
      order.trail[depth] = `[${i}]`
      write(writer, value[i], order, depth + 1)
    }
    return
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null)
    return writeObject(writer, value as Record<string, unknown>, order, depth) // plain, as just checked
  if (value instanceof Map) {
    writer.byte(Tag.Map)
    writer.varint(value.size)
    for (const [key, item] of value) {
      order.trail[depth] = `.get(${typeof key === "string" ? JSON.stringify(key) : String(key)})`
      write(writer, key, order, depth + 1)
      write(writer, item, order, depth + 1)
    }
  } else if (value instanceof Set) {
    writer.byte(Tag.Set)
    writer.varint(value.size)
    for (const item of value) {
      order.trail[depth] = "{…}"
      write(writer, item, order, depth + 1)
    }
  } else if (value instanceof Date) {
    writer.byte(Tag.Date)
    writer.float64(value.getTime())
  } else if (value instanceof Uint8Array) {
    writer.byte(Tag.Bytes)
    writer.bytes(value)
  } else {
    throw refused(
      order,
      depth,
      `is a ${value.constructor?.name ?? "object"} with a prototype of its own: use plain objects, arrays, Map, Set, Date or Uint8Array`,
    )
  }
}

function writeObject(writer: ByteWriter, value: Record<string, unknown>, order: Order, depth: number): void {
  const keys = Object.keys(value)
  if (order.sorted && keys.length > 1) keys.sort()
  writer.byte(Tag.Object)
  writer.varint(keys.length)
  for (const key of keys) {
    order.trail[depth] = `.${key}`
    writeString(writer, key)
    write(writer, value[key], order, depth + 1)
  }
  if (Object.getOwnPropertySymbols(value).length > 0) throw refused(order, depth, "has a symbol as a key")
}

function refused(order: Order, depth: number, reason: string): Unsupported {
  return new Unsupported(order.trail.slice(0, depth).join(""), reason)
}

/** The error with the name of the whole value in front of its path. */
function named(cause: unknown, name: string, order?: Order): unknown {
  order?.seen?.clear()
  return cause instanceof Unsupported ? new Unsupported(`${name}${cause.path}`, cause.reason) : cause
}

function read(reader: ByteReader, order: Order, depth: number): Canonical {
  const tag = reader.byte()
  switch (tag) {
    case Tag.Null:
      return null
    case Tag.Undefined:
      return undefined
    case Tag.False:
      return false
    case Tag.True:
      return true
    case Tag.Natural:
      return reader.varint()
    case Tag.Negative:
      return -1 - within(reader.varint(), Number.MAX_SAFE_INTEGER - 1)
    case Tag.Float:
      return readFloat(reader)
    case Tag.BigNatural:
      return BigInt(reader.varint())
    case Tag.BigNegative:
      return BigInt(-1 - within(reader.varint(), Number.MAX_SAFE_INTEGER - 1))
    case Tag.BigPositiveBytes:
      return readBigBytes(reader)
    case Tag.BigNegativeBytes:
      return -readBigBytes(reader)
    case Tag.String:
      return reader.string()
    case Tag.IllFormedString:
      return readIllFormed(reader)
    case Tag.Bytes:
      return new Uint8Array(reader.bytes())
    case Tag.Date:
      return readDate(reader)
    default:
      return readContainer(reader, tag, order, depth)
  }
}

function readContainer(reader: ByteReader, tag: number, order: Order, depth: number): Canonical {
  if (depth >= DEPTH_MAX) throw new Malformed(`values nest deeper than ${DEPTH_MAX} levels`)
  switch (tag) {
    case Tag.Array: {
      const count = reader.count()
      const items: Array<Canonical> = []
      for (let i = 0; i < count; i++) items.push(read(reader, order, depth + 1))
      return items
    }
    case Tag.Object:
      return readObject(reader, order, depth)
    case Tag.Map: {
      const count = reader.count()
      const map = new Map<Canonical, Canonical>()
      for (let i = 0; i < count; i++) map.set(readKey(reader, order, depth), read(reader, order, depth + 1))
      if (map.size !== count) throw new Malformed("a map has a key twice")
      return map
    }
    case Tag.Set: {
      const count = reader.count()
      const set = new Set<Canonical>()
      for (let i = 0; i < count; i++) set.add(readKey(reader, order, depth))
      if (set.size !== count) throw new Malformed("a set has an item twice")
      return set
    }
    default:
      throw new Malformed(`no value begins with the byte ${tag}`)
  }
}

/** Map and Set turn −0 into 0, so no key of theirs is written as −0. */
function readKey(reader: ByteReader, order: Order, depth: number): Canonical {
  const key = read(reader, order, depth + 1)
  return Object.is(key, -0) ? raise("−0 is not a key") : key
}

function readObject(reader: ByteReader, order: Order, depth: number): { [key: string]: Canonical } {
  const count = reader.count()
  const object: { [key: string]: Canonical } = {}
  let previous: string | undefined
  for (let i = 0; i < count; i++) {
    const tag = reader.byte()
    const key =
      tag === Tag.String
        ? reader.string()
        : tag === Tag.IllFormedString
          ? readIllFormed(reader)
          : raise("a key of an object is a text")
    if (order.sorted ? previous !== undefined && previous >= key : Object.hasOwn(object, key))
      throw new Malformed("the keys of an object are not in order, or one is there twice")
    previous = key
    const value = read(reader, order, depth + 1)
    if (key === "__proto__")
      Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
    else object[key] = value
  }
  return object
}

function readFloat(reader: ByteReader): number {
  const start = reader.position
  const value = reader.float64()
  if (Number.isSafeInteger(value) && !Object.is(value, -0))
    throw new Malformed("a whole number is written as one")
  if (Number.isNaN(value)) requireNan(reader, start)
  return value
}

/** There are 2^53 − 2 ways to write NaN; one of them is canonical. */
function requireNan(reader: ByteReader, start: number): void {
  if (reader.hexAt(start, 8) !== CANONICAL_NAN) throw new Malformed("NaN is not in its canonical form")
}

const CANONICAL_NAN = "7ff8000000000000"

function readDate(reader: ByteReader): Date {
  const start = reader.position
  const ms = reader.float64()
  if (Number.isNaN(ms)) requireNan(reader, start)
  const date = new Date(ms)
  if (!Object.is(date.getTime(), ms)) throw new Malformed("a date is out of range")
  return date
}

function readBigBytes(reader: ByteReader): bigint {
  const bytes = reader.bytes()
  if (bytes.length === 0 || bytes[0] === 0) throw new Malformed("a big number is not in its shortest form")
  const value = BigInt(`0x${bytes.toString("hex")}`)
  if (value <= SAFE) throw new Malformed("a big number is not in its shortest form")
  return value
}

function readIllFormed(reader: ByteReader): string {
  const bytes = reader.bytes()
  const text = bytes.toString("utf16le")
  if (bytes.length % 2 !== 0 || text.isWellFormed())
    throw new Malformed("a well-formed text is written as one")
  return text
}

function within(value: number, max: number): number {
  return value <= max ? value : raise("a number is below −(2^53 − 1)")
}

function raise(reason: string): never {
  throw new Malformed(reason)
}
