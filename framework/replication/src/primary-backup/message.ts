import { ByteReader, ByteWriter, Malformed } from "@lockstep/core"

// What replicas of a group with a single master tell each other. Over core NATS: anything may be lost, or come late.

/** From the primary: what comes next in its history, or nothing but that it is there. */
export interface Ship {
  readonly _tag: "Ship"
  /** The backup's life, as the primary knows it; empty for a backup that it has not heard of. */
  readonly to: string
  /** The primary's. */
  readonly incarnation: string
  readonly epoch: number
  /** Every position up to here is acknowledged. */
  readonly committed: number
  /** Whether everything that was acknowledged by now stands at or below `committed`: nobody else can be the primary. */
  readonly fresh: boolean
  /** The backup's clock in the last acknowledgement that arrived; −1 for none: the news are at least as fresh. */
  readonly echo: number
  /** In which epochs its records were made, up to its last one. */
  readonly spans: ReadonlyArray<Span>
  /** The first record that the primary still has; whoever lacks earlier ones must fetch its checkpoint. */
  readonly first: number
  readonly checkpoint: number | undefined
  /** Position of the first record; the backup has all before it. */
  readonly from: number
  readonly records: ReadonlyArray<Buffer>
}

/** Records of one epoch, by position: from the end of the span before, up to here. */
export interface Span {
  readonly epoch: number
  readonly last: number
}

/** From a backup: how much of the primary's history it has on its disk. Also a first word, to be told more. */
export interface Acknowledgement {
  readonly _tag: "Acknowledgement"
  readonly incarnation: string
  /** The epoch that it follows; its positions are that primary's. */
  readonly epoch: number
  readonly position: number
  /** The last position that it has been sent, whether on the disk or not. */
  readonly received: number
  /** The log is on its disk up to here. */
  readonly log: number
  /** Its own clock, milliseconds. */
  readonly clock: number
  /** It is about to end: nobody is to wait for it. */
  readonly leaving: boolean
}

/** From a replica that the log has left behind: whoever has a checkpoint is to say so. */
export interface Plea {
  readonly _tag: "Plea"
  /** The first entry that the log still holds. */
  readonly firstSeq: number
}

/** From a replica that has a checkpoint on its disk. */
export interface Offer {
  readonly _tag: "Offer"
  /** Its position, and how far it has read the log. */
  readonly checkpoint: number
  readonly log: number
}

export type Message = Ship | Acknowledgement | Plea | Offer

/** An operator's or a replica's other word on the same subject is no message of this kind: undefined. Throws Malformed. */
export function decodeMessage(bytes: Uint8Array): Message | undefined {
  const reader = new ByteReader(bytes)
  const version = reader.byte()
  if (version !== VERSION) return undefined
  const message = readKind(reader.byte(), reader)
  reader.end()
  return message
}

export function encodePlea({ firstSeq }: Omit<Plea, "_tag">): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.byte(2)
  writer.varint(firstSeq)
  return writer.take()
}

export function encodeOffer({ checkpoint, log }: Omit<Offer, "_tag">): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.byte(3)
  writer.varint(checkpoint)
  writer.varint(log)
  return writer.take()
}

export function encodeShip(ship: Omit<Ship, "_tag">): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.byte(0)
  writer.string(ship.to)
  writer.string(ship.incarnation)
  writer.varint(ship.epoch)
  writer.varint(ship.committed)
  writer.byte(ship.fresh ? 1 : 0)
  writer.float64(ship.echo)
  writeSpans(writer, ship.spans)
  writer.varint(ship.first)
  writer.varint(ship.checkpoint === undefined ? 0 : ship.checkpoint + 1)
  writer.varint(ship.from)
  writer.varint(ship.records.length)
  for (const record of ship.records) writer.bytes(record)
  return writer.take()
}

export function encodeAcknowledgement(acknowledgement: Omit<Acknowledgement, "_tag">): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.byte(1)
  writer.string(acknowledgement.incarnation)
  writer.varint(acknowledgement.epoch)
  writer.varint(acknowledgement.position)
  writer.varint(acknowledgement.received)
  writer.varint(acknowledgement.log)
  writer.float64(acknowledgement.clock)
  writer.byte(acknowledgement.leaving ? 1 : 0)
  return writer.take()
}

export function writeSpans(target: ByteWriter, spans: ReadonlyArray<Span>): void {
  target.varint(spans.length)
  for (const { epoch, last } of spans) {
    target.varint(epoch)
    target.varint(last)
  }
}

export function readSpans(reader: ByteReader): ReadonlyArray<Span> {
  return Array.from({ length: reader.count() }, () => ({ epoch: reader.varint(), last: reader.varint() }))
}

function readKind(kind: number, reader: ByteReader): Message {
  switch (kind) {
    case 0:
      return readShip(reader)
    case 1:
      return readAcknowledgement(reader)
    case 2:
      return { _tag: "Plea", firstSeq: reader.varint() }
    case 3:
      return { _tag: "Offer", checkpoint: reader.varint(), log: reader.varint() }
    default:
      throw new Malformed(`no message is of kind ${kind}`)
  }
}

function readShip(reader: ByteReader): Ship {
  return {
    _tag: "Ship",
    to: reader.string(),
    incarnation: reader.string(),
    epoch: reader.varint(),
    committed: reader.varint(),
    fresh: reader.byte() === 1,
    echo: reader.float64(),
    spans: readSpans(reader),
    first: reader.varint(),
    checkpoint: readCheckpoint(reader),
    from: reader.varint(),
    records: Array.from({ length: reader.count() }, () => reader.bytes()),
  }
}

/** One at position 0 holds nothing but what the log said. */
function readCheckpoint(reader: ByteReader): number | undefined {
  const next = reader.varint()
  return next === 0 ? undefined : next - 1
}

function readAcknowledgement(reader: ByteReader): Acknowledgement {
  return {
    _tag: "Acknowledgement",
    incarnation: reader.string(),
    epoch: reader.varint(),
    position: reader.varint(),
    received: reader.varint(),
    log: reader.varint(),
    clock: reader.float64(),
    leaving: reader.byte() === 1,
  }
}

const VERSION = 0x4d
const writer = new ByteWriter(64 * 1024)
