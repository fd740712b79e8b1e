import { ByteReader, ByteWriter, type Digest, Malformed, readDigest } from "@lockstep/core"
import type { ReadUpTo } from "../past.ts"
import { readSpans, type Span, writeSpans } from "./message.ts"
import type { Reigns } from "./reigns.ts"

/** What a checkpoint holds beside rows. */
export interface Snapshot {
  /** All records up to here are in the rows. */
  readonly position: number
  readonly spans: ReadonlyArray<Span>
  /** How far the log was read. */
  readonly log: ReadUpTo
  /** Of all rows. */
  readonly root: Digest
}

export function encodeSnapshot(snapshot: Snapshot, reigns: Reigns): Buffer {
  return sealing(snapshot, reigns)(snapshot.root)
}

/** The same, where the digest of all rows is not known yet: what the masters are now is in it, whoever is one by then. */
export function sealing(snapshot: Omit<Snapshot, "root">, reigns: Reigns): (root: Digest) => Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.varint(snapshot.position)
  writeSpans(writer, snapshot.spans)
  writer.varint(snapshot.log.seq)
  writer.ascii(snapshot.log.chain)
  writer.ascii(snapshot.log.chainBefore)
  writer.uint64(snapshot.log.timeNs)
  const before = writer.take()
  writer.reset()
  reigns.encode(writer)
  const after = writer.take()
  return (root) => Buffer.concat([before, Buffer.from(root, "latin1"), after])
}

/** What the log said of masters up to there goes into `reigns`, where that is given. Throws {@link Malformed}. */
export function decodeSnapshot(bytes: Uint8Array, reigns?: Reigns): Snapshot {
  const reader = new ByteReader(bytes)
  if (reader.byte() !== VERSION) throw new Malformed("not a checkpoint of this version")
  const snapshot = {
    position: reader.varint(),
    spans: readSpans(reader),
    log: {
      seq: reader.varint(),
      chain: readDigest(reader),
      chainBefore: readDigest(reader),
      timeNs: reader.uint64(),
    },
    root: readDigest(reader),
  }
  if (reigns === undefined) return snapshot
  reigns.restore(reader)
  reader.end()
  return snapshot
}

const VERSION = 0x53
const writer = new ByteWriter(1024)
