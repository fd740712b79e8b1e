import { ByteReader, ByteWriter, Malformed } from "./bytes.ts"
import { DIGEST_LENGTH } from "./digest.ts"
import { ClientId, type Digest, Epoch, GroupName, Partition, ReplicaId, SessionId } from "./ids.ts"

/**
 * All that a replica says about one entry. Two votes are equal only if all of it is: f+1 equal ones prove the outcomes,
 * and that these replicas agree on the whole log up to here (`chain`).
 */
export interface Statement {
  readonly group: GroupName
  readonly epoch: Epoch
  readonly partition: Partition
  readonly seq: number
  readonly chain: Digest
  readonly client: ClientId
  readonly session: SessionId
  /** The number of the batch's first command. */
  readonly number: number
  /** Commands in the batch; 0 for the opening of a session. */
  readonly count: number
  /** Of the bytes of all outcomes. */
  readonly outcomes: Digest
}

/** One replica's statement, and perhaps a part of the outcomes' bytes. */
export interface Vote {
  readonly replica: ReplicaId
  /** The statement's bytes, as text of one character per byte: equal texts are equal statements. */
  readonly statement: string
  /** The outcomes' bytes come in `parts` parts, of which this is `part`; there are none where `parts` is 0. */
  readonly parts: number
  readonly part: number
  readonly bytes: Buffer
}

/** Bytes of outcomes in one message, at most: well below NATS's 1 MiB. */
export const PART_BYTES_MAX = 512 * 1024

export function encodeStatement(statement: Statement): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.string(statement.group)
  writer.varint(statement.epoch)
  writer.varint(statement.partition)
  writer.varint(statement.seq)
  writer.ascii(statement.chain)
  writer.string(statement.client)
  writer.varint(statement.session)
  writer.varint(statement.number)
  writer.varint(statement.count)
  writer.ascii(statement.outcomes)
  return writer.take()
}

/** Throws {@link Malformed}. */
export function decodeStatement(text: string): Statement {
  const reader = new ByteReader(Buffer.from(text, "latin1"))
  if (reader.byte() !== VERSION) throw new Malformed("not a statement of this version")
  const statement: Statement = {
    group: reader.name(GroupName),
    epoch: Epoch(reader.varint()),
    partition: Partition(reader.varint()),
    seq: reader.varint(),
    chain: readDigest(reader),
    client: reader.name(ClientId),
    session: SessionId(reader.varint()),
    number: reader.varint(),
    count: reader.varint(),
    outcomes: readDigest(reader),
  }
  reader.end()
  return statement
}

/** The messages of one vote: one, or several where the outcomes' bytes are many, or one without any. */
export function encodeVote(
  replica: ReplicaId,
  statement: Uint8Array,
  outcomes: Uint8Array | undefined,
): ReadonlyArray<Buffer> {
  if (outcomes === undefined) return [encodePart(replica, statement, 0, 0, NOTHING)]
  const parts = Math.max(1, Math.ceil(outcomes.length / PART_BYTES_MAX))
  return Array.from({ length: parts }, (_, part) =>
    encodePart(
      replica,
      statement,
      parts,
      part,
      outcomes.subarray(part * PART_BYTES_MAX, (part + 1) * PART_BYTES_MAX),
    ),
  )
}

/** Throws {@link Malformed}. The bytes are a view of `bytes`. */
export function decodeVote(bytes: Uint8Array): Vote {
  const reader = new ByteReader(bytes)
  if (reader.byte() !== VERSION) throw new Malformed("not a vote of this version")
  const replica = reader.name(ReplicaId)
  const statement = reader.ascii(reader.varint())
  const parts = reader.varint()
  const part = reader.varint()
  if (parts > PARTS_MAX || (parts === 0 ? part !== 0 : part >= parts)) throw new Malformed("no such part")
  if (parts === 0) reader.end()
  return { replica, statement, parts, part, bytes: reader.raw(reader.remaining) }
}

const VERSION = 0x56
const PARTS_MAX = 64
const NOTHING = new Uint8Array(0)
const writer = new ByteWriter(1024)

function encodePart(
  replica: ReplicaId,
  statement: Uint8Array,
  parts: number,
  part: number,
  bytes: Uint8Array,
): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.string(replica)
  writer.bytes(statement)
  writer.varint(parts)
  writer.varint(part)
  writer.raw(bytes)
  return writer.take()
}

/** Throws {@link Malformed}. */
export function readDigest(reader: ByteReader): Digest {
  const text = reader.ascii(DIGEST_LENGTH)
  if (!DIGEST.test(text)) throw new Malformed("not a digest")
  return text as Digest // just checked
}

const DIGEST = /^[0-9a-f]{64}$/
