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
    if (bucketOf(id) !== index) throw new Malformed("a row of another bucket")
  }
  return rows
}

const writer = new ByteWriter(64 * 1024)
