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
  /** Beside what is voted on, and believed of nobody. */
  readonly spans: VoteSpans | undefined
}

/** Where a replica tells of commands that are traced, by their index in the batch: ids that mean something to whoever traces. */
export type VoteSpans = ReadonlyMap<number, string>

/** Commands of one batch whose spans a vote names, at most. */
export const VOTE_SPANS_MAX = 1024
/** Characters of the id of a span, at most. */
export const SPAN_ID_LENGTH_MAX = 32

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
  spans?: VoteSpans,
): ReadonlyArray<Buffer> {
  if (outcomes === undefined) return [encodePart({ replica, statement, spans, parts: 0, part: 0 }, NOTHING)]
  if (outcomes.length <= PART_BYTES_MAX)
    return [encodePart({ replica, statement, spans, parts: 1, part: 0 }, outcomes)]
  const parts = Math.ceil(outcomes.length / PART_BYTES_MAX)
  return Array.from({ length: parts }, (_, part) =>
    encodePart(
      { replica, statement, parts, part, spans: part === 0 ? spans : undefined },
      outcomes.subarray(part * PART_BYTES_MAX, (part + 1) * PART_BYTES_MAX),
    ),
  )
}

/** Throws {@link Malformed}. The bytes are a view of `bytes`. */
export function decodeVote(bytes: Uint8Array): Vote {
  const reader = new ByteReader(bytes)
  const version = reader.byte()
  if (version !== VERSION && version !== TRACED) throw new Malformed("not a vote of this version")
  const replica = reader.name(ReplicaId)
  const statement = reader.ascii(reader.varint())
  const parts = reader.varint()
  const part = reader.varint()
  if (parts > PARTS_MAX || (parts === 0 ? part !== 0 : part >= parts)) throw new Malformed("no such part")
  const spans = version === TRACED ? readSpans(reader) : undefined
  if (parts === 0) reader.end()
  return { replica, statement, parts, part, bytes: reader.raw(reader.remaining), spans }
}

const VERSION = 0x56
/** A vote that names spans. The others, which are most, have no byte more than they need. */
const TRACED = 0x57
const PARTS_MAX = 64
const NOTHING = new Uint8Array(0)
const writer = new ByteWriter(1024)

function encodePart({ replica, statement, parts, part, spans }: PartHeader, bytes: Uint8Array): Buffer {
  const isTraced = spans !== undefined && spans.size > 0
  writer.reset()
  writer.byte(isTraced ? TRACED : VERSION)
  writer.string(replica)
  writer.bytes(statement)
  writer.varint(parts)
  writer.varint(part)
  if (isTraced) writeSpans(spans)
  writer.raw(bytes)
  return writer.take()
}

interface PartHeader {
  readonly replica: ReplicaId
  readonly statement: Uint8Array
  readonly parts: number
  readonly part: number
  readonly spans: VoteSpans | undefined
}

/** In the order of the commands. */
function writeSpans(spans: VoteSpans): void {
  writer.varint(spans.size)
  for (const [index, id] of spans) {
    writer.varint(index)
    writer.string(id)
  }
}

function readSpans(reader: ByteReader): VoteSpans {
  const count = reader.count()
  if (count === 0 || count > VOTE_SPANS_MAX) throw new Malformed("a vote names no spans, or too many")
  const spans = new Map<number, string>()
  let next = 0
  for (let left = count; left > 0; left--) {
    const index = reader.varint()
    const id = reader.string()
    if (index < next) throw new Malformed("the spans of a vote are not in the order of the commands")
    if (id.length === 0 || id.length > SPAN_ID_LENGTH_MAX)
      throw new Malformed("the id of a span is empty or too long")
    spans.set(index, id)
    next = index + 1
  }
  return spans
}

/** Throws {@link Malformed}. */
export function readDigest(reader: ByteReader): Digest {
  const text = reader.ascii(DIGEST_LENGTH)
  if (!DIGEST.test(text)) throw new Malformed("not a digest")
  return text as Digest // just checked
}

const DIGEST = /^[0-9a-f]{64}$/
