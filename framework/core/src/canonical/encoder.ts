import type { ByteWriter } from "../bytes.ts"
import { BIG_MAX, DEPTH_MAX, type Purpose, Tag } from "./format.ts"

/** A value (or a part of one, at `path`) that has no canonical bytes. */
export class Unsupported extends TypeError {
  readonly _tag = "Unsupported"
  override readonly name = "Unsupported"
  readonly path: string
  readonly reason: string

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`${path} ${reason}`, options)
    this.path = path
    this.reason = reason
  }
}

/** What is written, and where in it the writer is. */
export interface Writing {
  readonly purpose: Purpose
  /** What was met so far, where each object may be met once. */
  readonly met: Set<object> | undefined
  /** The tags of the containers on the way here, and the keys in them. Only an error reads them, so they are not yet a text. */
  readonly kinds: Array<number>
  readonly keys: Array<unknown>
}

/** Writes one value. What it throws has the path from that value on. */
export function writeValue(writer: ByteWriter, value: unknown, writing: Writing, depth: number): void {
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
      return value === null ? writer.byte(Tag.Null) : writeContainer(writer, value, writing, depth)
    default:
      throw refused(writing, depth, `is a ${typeof value}: only data can be replicated`)
  }
}

/** Writes the fields of an object of any class. */
export function writeFields(writer: ByteWriter, value: object, writing: Writing): void {
  if (
    Array.isArray(value) ||
    value instanceof Map ||
    value instanceof Set ||
    value instanceof Date ||
    value instanceof Uint8Array
  )
    throw refused(writing, 0, "holds more than its fields, and they are all that is kept: put it into one")
  writeObject(writer, value, writing, 0)
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
  if (value >= 0n ? value <= BIG_MAX : value >= -BIG_MAX) {
    writer.byte(value >= 0n ? Tag.BigNatural : Tag.BigNegative)
    writer.varint(value >= 0n ? Number(value) : -1 - Number(value))
  } else {
    writer.byte(value > 0n ? Tag.BigPositiveBytes : Tag.BigNegativeBytes)
    const hex = (value > 0n ? value : -value).toString(16)
    writer.bytes(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex"))
  }
}

/**
 * A container is told by its very prototype: an instance of another class, though it extends Map, has behaviour that its
 * bytes would lose.
 */
function writeContainer(writer: ByteWriter, value: object, writing: Writing, depth: number): void {
  if (depth >= DEPTH_MAX)
    throw refused(writing, depth, `is nested deeper than ${DEPTH_MAX} levels, or cyclic`)
  if (writing.met !== undefined) meet(writing.met, value, writing, depth)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (Array.isArray(value) && prototype === Array.prototype) return writeArray(writer, value, writing, depth)
  switch (prototype) {
    case Object.prototype:
      return writeObject(writer, value, writing, depth)
    case Map.prototype:
      return writeMap(writer, value as Map<unknown, unknown>, writing, depth) // or reading it throws
    case Set.prototype:
      return writeSet(writer, value as Set<unknown>, writing, depth) // or reading it throws
    case Date.prototype:
      return writeDate(writer, value as Date, writing, depth) // or reading it throws
    case Uint8Array.prototype:
      return writeBytes(writer, value as Uint8Array) // or reading it throws
    case Buffer.prototype:
      if (writing.purpose === "state")
        throw refused(writing, depth, "is a Buffer: recovery makes it a Uint8Array, so keep it as one")
      return writeBytes(writer, value as Buffer) // or reading it throws
    case null:
      if (writing.purpose === "state")
        throw refused(
          writing,
          depth,
          "has no prototype: recovery gives it one, so use a Map or a plain object",
        )
      return writeObject(writer, value, writing, depth)
    default:
      throw refused(
        writing,
        depth,
        `is ${nameOfClass(value)}: use plain objects, arrays, Map, Set, Date or Uint8Array`,
      )
  }
}

function meet(met: Set<object>, value: object, writing: Writing, depth: number): void {
  // Two views of one buffer share what they hold.
  const held = value instanceof Uint8Array ? value.buffer : value
  if (met.has(held))
    throw refused(
      writing,
      depth,
      "is reachable by two paths: state is a tree, so store a copy or a key instead",
    )
  met.add(held)
}

function writeArray(
  writer: ByteWriter,
  value: ReadonlyArray<unknown>,
  writing: Writing,
  depth: number,
): void {
  writer.byte(Tag.Array)
  writer.varint(value.length)
  writing.kinds[depth] = Tag.Array
  for (let i = 0; i < value.length; i++) {
    const item = value[i]
    writing.keys[depth] = i
    if (item === undefined && !Object.hasOwn(value, i))
      throw refused(writing, depth + 1, "is a hole: an array has a value at every index")
    writeValue(writer, item, writing, depth + 1)
  }
  // A name per item is too dear where others only get a copy: that is its items.
  if (writing.purpose === "state" && Object.keys(value).length !== value.length)
    throw refused(writing, depth, "is an array with properties beside its items: they would be lost")
}

function writeObject(writer: ByteWriter, value: object, writing: Writing, depth: number): void {
  const keys = Object.keys(value)
  if (Object.getOwnPropertyNames(value).length !== keys.length)
    throw refused(writing, depth, "has a property that is not enumerable: it would be lost")
  if (Object.getOwnPropertySymbols(value).length > 0) throw refused(writing, depth, "has a symbol as a key")
  if (writing.purpose === "value" && keys.length > 1) keys.sort()
  writer.byte(Tag.Object)
  writer.varint(keys.length)
  writing.kinds[depth] = Tag.Object
  for (const key of keys) {
    const property = Object.getOwnPropertyDescriptor(value, key)
    writing.keys[depth] = key
    if (property?.writable === undefined)
      throw refused(writing, depth + 1, "is a getter or a setter: only data can be replicated")
    writeString(writer, key)
    writeValue(writer, property.value, writing, depth + 1)
  }
}

function writeMap(writer: ByteWriter, value: Map<unknown, unknown>, writing: Writing, depth: number): void {
  refuseProperties(value, writing, depth)
  writer.byte(Tag.Map)
  writer.varint(value.size)
  writing.kinds[depth] = Tag.Map
  for (const [key, item] of value) {
    writing.keys[depth] = key
    writeValue(writer, key, writing, depth + 1)
    writeValue(writer, item, writing, depth + 1)
  }
}

function writeSet(writer: ByteWriter, value: Set<unknown>, writing: Writing, depth: number): void {
  refuseProperties(value, writing, depth)
  writer.byte(Tag.Set)
  writer.varint(value.size)
  writing.kinds[depth] = Tag.Set
  for (const item of value) writeValue(writer, item, writing, depth + 1)
}

function writeDate(writer: ByteWriter, value: Date, writing: Writing, depth: number): void {
  refuseProperties(value, writing, depth)
  writer.byte(Tag.Date)
  writer.float64(value.getTime())
}

function writeBytes(writer: ByteWriter, value: Uint8Array): void {
  writer.byte(Tag.Bytes)
  writer.bytes(value)
}

/** A property of its own may also hide a method of its class, by which it is read. */
function refuseProperties(value: object, writing: Writing, depth: number): void {
  if (Object.getOwnPropertyNames(value).length > 0 || Object.getOwnPropertySymbols(value).length > 0)
    throw refused(writing, depth, "has properties of its own beside what it holds: they would be lost")
}

/** Careful: whatever is asked here may be something else than it is in every decent class. */
function nameOfClass(value: object): string {
  const made: unknown = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(value), "constructor")?.value
  return typeof made === "function" && typeof made.name === "string" && made.name !== ""
    ? `an instance of ${made.name}`
    : "an object with a prototype of its own"
}

function refused(writing: Writing, depth: number, reason: string): Unsupported {
  const path = writing.keys.slice(0, depth).map((key, level) => step(writing.kinds[level], key))
  return new Unsupported(path.join(""), reason)
}

function step(kind: number | undefined, key: unknown): string {
  switch (kind) {
    case Tag.Array:
      return `[${String(key)}]`
    case Tag.Object:
      return `.${String(key)}`
    case Tag.Map:
      return `.get(${shown(key)})`
    default:
      return "{…}"
  }
}

/** Objects are not asked how they want to be shown: they may not know. */
function shown(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key)
  return (typeof key === "object" && key !== null) || typeof key === "function" ? "…" : String(key)
}
