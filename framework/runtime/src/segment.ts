import { crc32 } from "node:zlib"

// One file of a journal: a header, then frames, each with one record. The checksum of a frame is chained to the one before it, over the
// ends of files too: so what was left behind a record by an earlier, longer journal is never taken for its successor.

/** What a file of a journal begins with. */
export interface SegmentHeader {
  readonly logId: string
  /** The position of its first record. */
  readonly first: number
  /** The checksum of the record before that. */
  readonly chain: number
}

/** A record, as it stands in a file. */
export interface Frame {
  readonly position: number
  readonly record: Buffer
  readonly chain: number
  /** Where the next one begins. */
  readonly end: number
}

export function encodeHeader({ logId, first, chain }: SegmentHeader): Buffer {
  const name = Buffer.from(logId)
  const bytes = Buffer.alloc(HEADER_BYTES + name.length)
  bytes.write(MAGIC, 0, "latin1")
  bytes.writeUIntLE(first, 8, POSITION_BYTES)
  bytes.writeUInt32LE(chain, 14)
  bytes.writeUInt16LE(name.length, 18)
  name.copy(bytes, HEADER_BYTES)
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4)
  return bytes
}

/** Undefined where it is torn or rotten. */
export function decodeHeader(bytes: Buffer): (SegmentHeader & { readonly end: number }) | undefined {
  if (bytes.length < HEADER_BYTES || bytes.toString("latin1", 0, 4) !== MAGIC) return undefined
  const end = HEADER_BYTES + bytes.readUInt16LE(18)
  if (end > bytes.length || crc32(bytes.subarray(8, end)) !== bytes.readUInt32LE(4)) return undefined
  return {
    logId: bytes.toString("utf8", HEADER_BYTES, end),
    first: bytes.readUIntLE(8, POSITION_BYTES),
    chain: bytes.readUInt32LE(14),
    end,
  }
}

/** The frames of these records, from this position on, and the checksum of the last. */
export function encodeFrames(
  records: ReadonlyArray<Uint8Array>,
  from: number,
  chain: number,
): { readonly bytes: Buffer; readonly chain: number } {
  const length = records.reduce((sum, record) => sum + FRAME_BYTES + record.length, 0)
  const bytes = Buffer.allocUnsafe(length)
  let at = 0
  let last = chain
  for (const [index, record] of records.entries()) {
    bytes.writeUInt32LE(record.length, at + 4)
    bytes.writeUIntLE(from + index, at + 8, POSITION_BYTES)
    bytes.set(record, at + FRAME_BYTES)
    last = crc32(bytes.subarray(at + 4, at + FRAME_BYTES + record.length), last)
    bytes.writeUInt32LE(last, at)
    at += FRAME_BYTES + record.length
  }
  return { bytes, chain: last }
}

/** The records behind a header, as far as they are whole. */
export function* framesOf(
  bytes: Buffer,
  header: SegmentHeader & { readonly end: number },
): Generator<Frame, void> {
  let { first: position, chain, end: at } = header
  while (at + FRAME_BYTES <= bytes.length) {
    const end = at + FRAME_BYTES + bytes.readUInt32LE(at + 4)
    if (end > bytes.length || bytes.readUIntLE(at + 8, POSITION_BYTES) !== position) return
    chain = crc32(bytes.subarray(at + 4, end), chain)
    if (chain !== bytes.readUInt32LE(at)) return
    yield { position, record: bytes.subarray(at + FRAME_BYTES, end), chain, end }
    position++
    at = end
  }
}

const MAGIC = "LSJ1"
const POSITION_BYTES = 6
/** Magic, checksum, first position, chain, length of the log's id. */
const HEADER_BYTES = 20
/** Checksum, length, position. */
const FRAME_BYTES = 14
