import { type ByteReader, Malformed } from "../bytes.ts"
import { BIG_MAX, type Canonical, DEPTH_MAX, type Purpose, Tag } from "./format.ts"

/** Reads the next value, and throws {@link Malformed} unless it is written in the one way that is canonical. */
export function readValue(reader: ByteReader, purpose: Purpose, depth: number): Canonical {
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
      return readContainer(reader, tag, purpose, depth)
  }
}

/** Reads fields that were written as a state. */
export function readFields(reader: ByteReader): { readonly [key: string]: Canonical } {
  return reader.byte() === Tag.Object ? readObject(reader, "state", 0) : raise("a state is an object")
}

function readContainer(reader: ByteReader, tag: number, purpose: Purpose, depth: number): Canonical {
  if (depth >= DEPTH_MAX) throw new Malformed(`values nest deeper than ${DEPTH_MAX} levels`)
  switch (tag) {
    case Tag.Array: {
      const count = reader.count()
      const items: Array<Canonical> = []
      for (let i = 0; i < count; i++) items.push(readValue(reader, purpose, depth + 1))
      return items
    }
    case Tag.Object:
      return readObject(reader, purpose, depth)
    case Tag.Map: {
      const count = reader.count()
      const map = new Map<Canonical, Canonical>()
      for (let i = 0; i < count; i++)
        map.set(readKey(reader, purpose, depth), readValue(reader, purpose, depth + 1))
      if (map.size !== count) throw new Malformed("a map has a key twice")
      return map
    }
    case Tag.Set: {
      const count = reader.count()
      const set = new Set<Canonical>()
      for (let i = 0; i < count; i++) set.add(readKey(reader, purpose, depth))
      if (set.size !== count) throw new Malformed("a set has an item twice")
      return set
    }
    default:
      throw new Malformed(`no value begins with the byte ${tag}`)
  }
}

/** Map and Set turn −0 into 0, so no key of theirs is written as −0. */
function readKey(reader: ByteReader, purpose: Purpose, depth: number): Canonical {
  const key = readValue(reader, purpose, depth + 1)
  return Object.is(key, -0) ? raise("−0 is not a key") : key
}
function readObject(reader: ByteReader, purpose: Purpose, depth: number): { [key: string]: Canonical } {
  const count = reader.count()
  const object: { [key: string]: Canonical } = {}
  let previous: string | undefined
  for (let i = 0; i < count; i++) {
    const key = readName(reader)
    if (previous !== undefined && !(purpose === "value" ? previous < key : mayFollow(previous, key, object)))
      throw new Malformed("the keys of an object are not in order, or one is there twice")
    previous = key
    const value = readValue(reader, purpose, depth + 1)
    if (key === "__proto__")
      Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
    else object[key] = value
  }
  return object
}

function readName(reader: ByteReader): string {
  switch (reader.byte()) {
    case Tag.String:
      return reader.string()
    case Tag.IllFormedString:
      return readIllFormed(reader)
    default:
      return raise("a key of an object is a text")
  }
}

/** Objects list the keys that are indices first, in ascending order, whenever they were inserted. */
function mayFollow(previous: string, key: string, object: object): boolean {
  if (Object.hasOwn(object, key)) return false
  return !isIndex(key) || (isIndex(previous) && Number(previous) < Number(key))
}

function isIndex(key: string): boolean {
  return INDEX.test(key) && Number(key) <= INDEX_MAX
}

const INDEX = /^(0|[1-9][0-9]{0,9})$/
const INDEX_MAX = 2 ** 32 - 2

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
  if (value <= BIG_MAX) throw new Malformed("a big number is not in its shortest form")
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
