import { ByteReader, ByteWriter, Malformed } from "./bytes.ts"
import { type Digest, Epoch, GroupName, Partition, ReplicaId } from "./ids.ts"
import { readSchema, type Schema, writeSchema } from "./schema.ts"
import { readDigest } from "./vote.ts"

/**
 * What a replica tells its peers from time to time: the chain at a position that it has executed. Equal logs have equal
 * chains; so a replica that hears of other chains from more peers than can be wrong knows that its log has forked.
 */
export interface PeerReport {
  readonly group: GroupName
  readonly epoch: Epoch
  readonly partition: Partition
  readonly replica: ReplicaId
  readonly seq: number
  /** What it executes with. Peers do not need it; an operator does, before anything was stated. */
  readonly schema: Schema
  /** What it computed was wrong once, and it has begun anew: its votes are not counted until others attest what it has. Peers do not need it; an operator does. */
  readonly onProbation: boolean
  readonly chain: Digest
}

export function encodePeerReport(report: PeerReport): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.string(report.group)
  writer.varint(report.epoch)
  writer.varint(report.partition)
  writer.string(report.replica)
  writer.varint(report.seq)
  writeSchema(writer, report.schema)
  writer.byte(report.onProbation ? 1 : 0)
  writer.ascii(report.chain)
  return writer.take()
}

/** Throws {@link Malformed}. */
export function decodePeerReport(bytes: Uint8Array): PeerReport {
  const reader = new ByteReader(bytes)
  if (reader.byte() !== VERSION) throw new Malformed("not a peer's report of this version")
  const report = {
    group: reader.name(GroupName),
    epoch: Epoch(reader.varint()),
    partition: Partition(reader.varint()),
    replica: reader.name(ReplicaId),
    seq: reader.varint(),
    schema: readSchema(reader),
    onProbation: reader.flag(),
    chain: readDigest(reader),
  }
  reader.end()
  return report
}

const VERSION = 0x50
const writer = new ByteWriter(256)
