import { bucketOf, ByteReader, ByteWriter, Malformed } from "@lockstep/core"

/** The bytes of a bucket's rows, as peers send them: the same ones for the same rows. */
export function encodeBucket(rows: ReadonlyMap<string, Uint8Array>): Buffer {
  writer.reset()
  for (const [id, bytes] of [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    writer.string(id)
    writer.bytes(bytes)
  }
  return writer.take()
}

/** The rows of the bucket with this index. Throws Malformed for bytes that are not a bucket's, or for rows of another one. */
export function decodeBucket(bytes: Uint8Array, index: number): ReadonlyMap<string, Uint8Array> {
  const reader = new ByteReader(bytes)
  const rows = new Map<string, Uint8Array>()
  while (reader.remaining > 0) {
    const id = reader.string()
    rows.set(id, reader.bytes())
    if (placeOf(id) !== index) throw new Malformed("a row of another bucket")
  }
  return rows
}

/** The bucket that a kept row belongs to: that of its id; that of its rows, for a shard of them. */
export function placeOf(id: string): number {
  if (!id.startsWith(SHARD)) return bucketOf(id)
  const index = Number(id.slice(SHARD.length).split("\0")[0])
  if (!Number.isSafeInteger(index)) throw new Malformed("a shard of no bucket")
  return index
}

/** The id under which a replica keeps its shard of a bucket, instead of the bucket's rows. */
export function shardId(index: number, slot: number): string {
  return `${SHARD}${index}\0${slot}`
}

/** Which shard of its bucket it is; undefined for the id of another row. */
export function slotOf(id: string): number | undefined {
  return id.startsWith(SHARD) ? Number(id.split("\0")[2]) : undefined
}

const SHARD = "shard\0"
const writer = new ByteWriter(64 * 1024)
