import { ByteReader, ByteWriter, ClientId, Malformed, SessionId } from "@lockstep/core"
import { actorIdsOf } from "../row.ts"

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
  readonly rows: ReadonlyArray<ChangedRow>
}

/** An actor as a record left it. */
export interface ChangedRow {
  readonly type: string
  readonly key: string
  /** Of its row in a checkpoint: type and key in one. */
  readonly id: string
  /** The version of its class, and its canonical state. */
  readonly bytes: Uint8Array
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
  let last: string | undefined
  for (const { type, key, bytes } of record.rows) {
    writer.byte(type === last ? SAME_TYPE : OTHER_TYPE)
    if (type !== last) writer.string((last = type))
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
    rows: readRows(reader),
  }
  reader.end()
  return record
}

function readRows(reader: ByteReader): ReadonlyArray<ChangedRow> {
  const rows: Array<ChangedRow> = []
  let type = ""
  let ids = ""
  for (let left = reader.count(); left > 0; left--) {
    const kind = reader.byte()
    if (kind === OTHER_TYPE) ids = actorIdsOf((type = reader.string()))
    else if (kind !== SAME_TYPE || ids === "") throw new Malformed("a row is of no type")
    const key = reader.string()
    rows.push({ type, key, id: ids + key, bytes: reader.bytes() })
  }
  return rows
}

const VERSION = 0x53
/** Before a row: whether its actor is of the type of the row before it. */
const SAME_TYPE = 0
const OTHER_TYPE = 1
const writer = new ByteWriter(64 * 1024)
