import { type ActorRow } from "@lockstep/actor"
import { ByteReader, ByteWriter, ClientId, Malformed, SessionId } from "@lockstep/core"

/** What one batch came to, as the primary made it, and as backups keep it: its outcomes, and the actors that it changed. */
export interface JournalRecord {
  /** Counts the records of a partition, from 1, without gaps. */
  readonly position: number
  /** Of the primary that made it. */
  readonly epoch: number
  readonly client: ClientId
  /** For the opening of a session: this position. */
  readonly session: SessionId
  /** Of the first command. */
  readonly number: number
  /** Commands; 0 for the opening of a session. */
  readonly count: number
  readonly settledBelow: number
  readonly traces: ReadonlyArray<string>
  readonly outcomes: Buffer
  readonly rows: ReadonlyArray<ActorRow>
}

export function encodeRecord(record: JournalRecord): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.varint(record.position)
  writer.varint(record.epoch)
  writer.string(record.client)
  writer.varint(record.session)
  writer.varint(record.number)
  writer.varint(record.count)
  writer.varint(record.settledBelow)
  writer.varint(record.traces.length)
  for (const trace of record.traces) writer.string(trace)
  writer.bytes(record.outcomes)
  writer.varint(record.rows.length)
  for (const { type, key, bytes } of record.rows) {
    writer.string(type)
    writer.string(key)
    writer.bytes(bytes)
  }
  return writer.take()
}

/** Throws {@link Malformed}. */
export function decodeRecord(bytes: Uint8Array): JournalRecord {
  const reader = new ByteReader(bytes)
  if (reader.byte() !== VERSION) throw new Malformed("not a record of this version")
  const record = {
    position: reader.varint(),
    epoch: reader.varint(),
    client: reader.name(ClientId),
    session: SessionId(reader.varint()),
    number: reader.varint(),
    count: reader.varint(),
    settledBelow: reader.varint(),
    traces: Array.from({ length: reader.count() }, () => reader.string()),
    outcomes: reader.bytes(),
    rows: Array.from({ length: reader.count() }, () => ({
      type: reader.string(),
      key: reader.string(),
      bytes: reader.bytes(),
    })),
  }
  reader.end()
  return record
}

const VERSION = 0x52
const writer = new ByteWriter(64 * 1024)
