/** The bytes are not what their format says. Thrown by decoders; the boundary that called them answers or counts it. */
export class Malformed extends Error {
  readonly _tag = "Malformed"
  override readonly name = "Malformed"
}

/** Some of the bytes of a buffer. Of many small ones a view each would take twice the memory, and longer to make. */
export interface Slice {
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
}

/** All of these bytes. */
export function sliceOf(bytes: Uint8Array): Slice {
  return { buffer: asBuffer(bytes), start: 0, end: bytes.length }
}

/** A view of them. */
export function bytesOf({ buffer, start, end }: Slice): Buffer {
  return buffer.subarray(start, end)
}

/** Writes a growing run of bytes. One writer is reused for many values: `reset`, write, `take` or `view`. */
export class ByteWriter {
  #buffer: Buffer
  #length = 0

  constructor(capacityBytes = 1024) {
    this.#buffer = Buffer.allocUnsafeSlow(capacityBytes)
  }

  get length(): number {
    return this.#length
  }

  reset(): void {
    this.#length = 0
  }

  /** Forgets everything after `length`: undoes a value that turned out to be unwritable. */
  truncate(length: number): void {
    this.#length = length
  }

  /** The bytes so far, as a copy that stays. */
  take(): Buffer {
    const [from, length] = [this.#buffer, this.#length]
    const copy = Buffer.allocUnsafe(length)
    if (length < SHORT_COPY) for (let i = 0; i < length; i++) copy[i] = from[i] as number // inside the bounds
    else from.copy(copy, 0, 0, length) // three times as quick as Buffer.from(view), which goes through a generic copy
    return copy
  }

  /** The bytes from `start` on. They stay if nothing before them is written again: see {@link reset} and {@link truncate}. */
  since(start: number): Slice {
    return { buffer: this.#buffer, start, end: this.#length }
  }

  /** The bytes so far, until the next write. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#buffer[this.#length++] = value
  }

  /** A whole number from 0 to 2^53 − 1, seven bits a byte, least significant first. */
  varint(value: number): void {
    this.#reserve(8)
    const buffer = this.#buffer
    while (value >= 0x80) {
      buffer[this.#length++] = (value % 0x80) | 0x80
      value = Math.floor(value / 0x80)
    }
    buffer[this.#length++] = value
  }

  float64(value: number): void {
    this.#reserve(8)
    this.#length = this.#buffer.writeDoubleBE(value, this.#length)
  }

  uint64(value: bigint): void {
    this.#reserve(8)
    this.#length = this.#buffer.writeBigUInt64BE(value, this.#length)
  }

  /** The same for a whole number from 0 to 2^53 − 1, which need not become a bigint for it. */
  natural64(value: number): void {
    this.#reserve(8)
    const high = Math.floor(value / 0x1_0000_0000)
    this.#length = this.#buffer.writeUInt32BE(high, this.#length)
    this.#length = this.#buffer.writeUInt32BE(value - high * 0x1_0000_0000, this.#length)
  }

  raw(bytes: Uint8Array): void {
    this.#copy(bytes, 0, bytes.length)
  }

  /** Length, then the bytes. */
  bytes(bytes: Uint8Array): void {
    this.varint(bytes.length)
    this.raw(bytes)
  }

  /** As {@link bytes}. */
  slice({ buffer, start, end }: Slice): void {
    this.varint(end - start)
    this.#copy(buffer, start, end)
  }

  /** Length in bytes, then UTF-8. The string must be well formed. */
  string(text: string): void {
    const length = text.length
    if (length < SHORT) {
      this.#reserve(1 + length)
      const buffer = this.#buffer
      const start = this.#length + 1
      let i = 0
      for (; i < length; i++) {
        const code = text.charCodeAt(i)
        if (code >= 0x80) break
        buffer[start + i] = code
      }
      if (i === length) {
        buffer[this.#length] = length
        this.#length = start + length
        return
      }
    }
    const size = Buffer.byteLength(text, "utf8")
    this.varint(size)
    this.#reserve(size)
    this.#length += this.#buffer.write(text, this.#length, "utf8")
  }

  /** ASCII text of a length that both sides know, such as a digest. */
  ascii(text: string): void {
    this.#reserve(text.length)
    this.#length += this.#buffer.write(text, this.#length, "latin1")
  }

  #copy(from: Uint8Array, start: number, end: number): void {
    const length = end - start
    this.#reserve(length)
    const [to, at] = [this.#buffer, this.#length]
    if (length >= SHORT_COPY) to.set(length === from.length ? from : from.subarray(start, end), at)
    else for (let i = 0; i < length; i++) to[at + i] = from[start + i] as number // inside the bounds
    this.#length = at + length
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#buffer.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#length + size))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}

/** Reads what {@link ByteWriter} wrote, and throws {@link Malformed} for anything that it would not have written. */
export class ByteReader {
  readonly #buffer: Buffer
  readonly #end: number
  #at: number
  /** All bytes as text of one character per byte, where short texts are cut out of it. */
  #text: string | undefined

  /** Reads the bytes from `start` (inclusive) to `end` (exclusive). */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#buffer = asBuffer(bytes)
    this.#at = start
    this.#end = end
  }

  get position(): number {
    return this.#at
  }

  get remaining(): number {
    return this.#end - this.#at
  }

  byte(): number {
    if (this.#at >= this.#end) throw new Malformed("the bytes end too early")
    return this.#buffer[this.#at++] as number // inside the bounds that were just checked
  }

  flag(): boolean {
    const value = this.byte()
    if (value > 1) throw new Malformed("a yes or no is one or zero")
    return value === 1
  }

  varint(): number {
    const first = this.byte()
    return first < 0x80 ? first : this.#longVarint(first & 0x7f) // most numbers are small
  }

  #longVarint(lowest: number): number {
    let value = lowest
    let scale = 0x80
    for (let i = 1; i < 8; i++) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (byte === 0) throw new Malformed("a number is not in its shortest form")
        if (value > Number.MAX_SAFE_INTEGER) break
        return value
      }
      scale *= 0x80
    }
    throw new Malformed("a number is larger than 2^53 − 1")
  }

  /** A count of items that each take at least one byte, so that a lie about it cannot make us allocate. */
  count(): number {
    const count = this.varint()
    if (count > this.remaining) throw new Malformed("a count is larger than the bytes that follow")
    return count
  }

  float64(): number {
    return this.#buffer.readDoubleBE(this.#advance(8))
  }

  uint64(): bigint {
    return this.#buffer.readBigUInt64BE(this.#advance(8))
  }

  /** A view of the next bytes: valid as long as the bytes that are read from. */
  raw(length: number): Buffer {
    const start = this.#advance(length)
    return this.#buffer.subarray(start, start + length)
  }

  bytes(): Buffer {
    return this.raw(this.varint())
  }

  /**
   * From here on, short texts are cut out of one text: that takes a third of the time, where there are many. Whoever keeps one of them for long
   * must copy it, because all bytes are kept with it.
   */
  cutTexts(): void {
    this.#text = this.#buffer.toString("latin1", 0, this.#end)
  }

  string(): string {
    const length = this.varint()
    const start = this.#advance(length)
    if (length < SHORT && isAscii(this.#buffer, start, this.#at))
      return this.#text?.slice(start, this.#at) ?? this.#buffer.toString("latin1", start, this.#at)
    const text = this.#buffer.toString("utf8", start, start + length)
    // The decoder replaces invalid UTF-8 by U+FFFD, and two byte strings must never read as one text.
    if (
      text.includes("\uFFFD") &&
      Buffer.compare(Buffer.from(text, "utf8"), this.#buffer.subarray(start, start + length)) !== 0
    )
      throw new Malformed("a text is not UTF-8")
    return text
  }

  /** A text that `make` accepts, such as an id. */
  name<Name>(make: (text: string) => Name): Name {
    const text = this.string()
    try {
      return make(text)
    } catch {
      throw new Malformed(`${JSON.stringify(text.slice(0, 64))} is no ${make.name}`)
    }
  }

  ascii(length: number): string {
    const start = this.#advance(length)
    return this.#buffer.toString("latin1", start, start + length)
  }

  /** Bytes that were already read, again, in hexadecimal. */
  hexAt(start: number, length: number): string {
    return this.#buffer.toString("hex", start, start + length)
  }

  skip(length: number): void {
    this.#advance(length)
  }

  end(): void {
    if (this.#at !== this.#end) throw new Malformed(`${this.remaining} bytes follow the end`)
  }

  #advance(length: number): number {
    const start = this.#at
    if (length > this.#end - start) throw new Malformed("the bytes end too early")
    this.#at = start + length
    return start
  }
}

/** A loop beats a call into C++ for texts below this many characters: keys, names, ids of clients, which are most of the traffic. */
const SHORT = 64

/** The same for copies of fewer bytes than this: most arguments are a few numbers. */
const SHORT_COPY = 32

function isAscii(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if ((bytes[i] as number) >= 0x80) return false // inside the bounds
  return true
}

/** The same text, whatever it was cut out of. */
export function ownText(text: string): string {
  return Buffer.from(text, "utf8").toString("utf8")
}

/** The same bytes as a Buffer, whose methods are quicker than a DataView's. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
