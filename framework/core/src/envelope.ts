import { asBuffer, ByteReader, ByteWriter, Malformed, type Slice } from "./bytes.ts"
import { ClientId, type Digest, Epoch, ReplicaId, SessionId } from "./ids.ts"
import { type Bid, readBid, readRenewal, type Renewal, writeBid, writeRenewal } from "./reign.ts"
import { readRoster, type Roster, writeRoster } from "./roster.ts"
import { readSchema, type Schema, writeSchema } from "./schema.ts"
import { readDigest } from "./vote.ts"

/**
 * What a client puts into the log: one entry's payload. A batch carries the commands that one client issued in one turn
 * of its event loop; batching is what makes throughput. Nothing about an entry is in headers.
 */
export type Envelope = Opening | Batch | Attestation | Reconfiguration | Upgrade | Renewal | Bid

/** Opens a session: its id is the seq of this entry. */
export interface Opening {
  readonly _tag: "Opening"
  readonly client: ClientId
  /** Tells this attempt from others of the same client. */
  readonly number: number
}

/**
 * What a replica says of its own state after entry `seq`, in the log itself: so all replicas hear it at one position, and "f+1
 * replicas agree" is an event that they all see alike.
 */
export interface Attestation {
  readonly _tag: "Attestation"
  readonly replica: ReplicaId
  readonly epoch: Epoch
  readonly seq: number
  readonly chain: Digest
  /** Of the whole state: actors, sessions, and what else the next entry can observe. */
  readonly state: Digest
  /** Whether the replica has it on its own disk. */
  readonly durable: boolean
}

/** An operator states the group's next roster. It takes effect at its own position, or not at all. */
export interface Reconfiguration {
  readonly _tag: "Reconfiguration"
  readonly roster: Roster
}

/** An operator states which versions of the classes execute what follows. It takes effect at its own position, or not at all. */
export interface Upgrade {
  readonly _tag: "Upgrade"
  readonly schema: Schema
}

export interface Batch {
  readonly _tag: "Batch"
  readonly client: ClientId
  readonly session: SessionId
  /** The number of the first command; the others follow without gaps. The same number is never executed twice. */
  readonly number: number
  /** Every number of this session below it is settled: its outcome may be forgotten. */
  readonly settledBelow: number
  /** What commands of this batch hang below, where their callers trace them. No protocol reads these texts, and nothing of them is voted on. */
  readonly traces: ReadonlyArray<string>
  /** The methods that commands of this batch name. */
  readonly methods: ReadonlyArray<MethodName>
  readonly commands: ReadonlyArray<Command>
}

export interface MethodName {
  readonly type: string
  readonly member: string
}

/** One command of a batch. Its arguments stay where they are in the batch's bytes: a view of each would cost more than to read it. */
export class Command {
  /** Index into the batch's `methods`. */
  readonly method: number
  /** Whoever keeps it must copy it: see {@link ownText}. */
  readonly key: string
  /** Index into the batch's `traces`, or −1. */
  readonly trace: number
  readonly #bytes: Buffer
  readonly #start: number
  readonly #end: number

  constructor(method: number, key: string, trace: number, bytes: Buffer, start: number, end: number) {
    this.method = method
    this.key = key
    this.trace = trace
    this.#bytes = bytes
    this.#start = start
    this.#end = end
  }

  /** Canonical bytes of the array of arguments. Not yet decoded: they may be malformed. */
  get args(): Buffer {
    return this.#bytes.subarray(this.#start, this.#end)
  }

  /** Reads them. */
  readArgs(): ByteReader {
    return new ByteReader(this.#bytes, this.#start, this.#end)
  }
}

/** What a command of the batch hangs below, where its caller traces it. */
export function traceWithin({ traces }: Batch, { trace }: Command): string | undefined {
  // an array that is asked for its item −1 looks for a property of that name: a fifth of what a replica did for a command
  return trace < 0 ? undefined : traces[trace]
}

/** Characters of an actor's key, at most. */
export const KEY_LENGTH_MAX = 256
/** Characters of the name of a type or a method, at most: refusals repeat it. */
export const NAME_LENGTH_MAX = 128
/** Bytes that a batch may need beside its commands, at most (ids, numbers; not methods and traces). */
export const HEADER_BYTES_MAX = 128

/** Gathers commands into one batch. */
export class BatchWriter {
  readonly #commands = new ByteWriter(4096)
  readonly #names = new ByteWriter(256)
  readonly #traces = new ByteWriter(64)
  readonly #methods = new Map<string, Map<string, number>>()
  #methodCount = 0
  #traceCount = 0
  #lastTrace: string | undefined
  #lastMethod: (MethodName & { readonly index: number }) | undefined
  #count = 0

  get count(): number {
    return this.#count
  }

  /** Bytes of the sealed batch, at most. */
  get sizeBytes(): number {
    return HEADER_BYTES_MAX + this.#names.length + this.#traces.length + this.#commands.length
  }

  add(type: string, member: string, key: string, args: Slice, trace: string | undefined): void {
    this.#commands.varint(this.#methodIndex(type, member))
    this.#commands.string(key)
    this.#commands.varint(trace === undefined ? 0 : this.#traceIndex(trace) + 1)
    this.#commands.slice(args)
    this.#count++
  }

  /** The entry's payload. The writer is empty afterwards. */
  seal(header: {
    readonly client: ClientId
    readonly session: SessionId
    readonly number: number
    readonly settledBelow: number
  }): Buffer {
    payload.reset()
    payload.byte(VERSION)
    payload.byte(Kind.Batch)
    payload.string(header.client)
    payload.varint(header.session)
    payload.varint(header.number)
    payload.varint(header.settledBelow)
    payload.varint(this.#traceCount)
    payload.raw(this.#traces.view())
    payload.varint(this.#methodCount)
    payload.raw(this.#names.view())
    payload.varint(this.#count)
    payload.raw(this.#commands.view())
    this.#reset()
    return payload.take()
  }

  #reset(): void {
    this.#commands.reset()
    this.#names.reset()
    this.#traces.reset()
    this.#methods.clear()
    this.#methodCount = 0
    this.#traceCount = 0
    this.#lastTrace = undefined
    this.#lastMethod = undefined
    this.#count = 0
  }

  #methodIndex(type: string, member: string): number {
    const last = this.#lastMethod // mostly the same one again
    if (last?.type === type && last.member === member) return last.index
    const index = this.#indexOf(type, member)
    this.#lastMethod = { type, member, index }
    return index
  }

  #indexOf(type: string, member: string): number {
    let members = this.#methods.get(type)
    if (members === undefined) this.#methods.set(type, (members = new Map()))
    const known = members.get(member)
    if (known !== undefined) return known
    members.set(member, this.#methodCount)
    this.#names.string(type)
    this.#names.string(member)
    return this.#methodCount++
  }

  #traceIndex(trace: string): number {
    if (trace !== this.#lastTrace) {
      this.#lastTrace = trace
      this.#traces.string(trace)
      this.#traceCount++
    }
    return this.#traceCount - 1
  }
}

export function encodeOpening(opening: Omit<Opening, "_tag">): Buffer {
  payload.reset()
  payload.byte(VERSION)
  payload.byte(Kind.Opening)
  payload.string(opening.client)
  payload.varint(opening.number)
  return payload.take()
}

export function encodeAttestation(attestation: Omit<Attestation, "_tag">): Buffer {
  payload.reset()
  payload.byte(VERSION)
  payload.byte(Kind.Attestation)
  payload.string(attestation.replica)
  payload.varint(attestation.epoch)
  payload.varint(attestation.seq)
  payload.ascii(attestation.chain)
  payload.ascii(attestation.state)
  payload.byte(attestation.durable ? 1 : 0)
  return payload.take()
}

export function encodeReconfiguration(roster: Roster): Buffer {
  payload.reset()
  payload.byte(VERSION)
  payload.byte(Kind.Reconfiguration)
  writeRoster(payload, roster)
  return payload.take()
}

export function encodeUpgrade(schema: Schema): Buffer {
  payload.reset()
  payload.byte(VERSION)
  payload.byte(Kind.Upgrade)
  writeSchema(payload, schema)
  return payload.take()
}

export function encodeRenewal(renewal: Omit<Renewal, "_tag">): Buffer {
  payload.reset()
  payload.byte(VERSION)
  payload.byte(Kind.Renewal)
  writeRenewal(payload, renewal)
  return payload.take()
}

export function encodeBid(bid: Omit<Bid, "_tag">): Buffer {
  payload.reset()
  payload.byte(VERSION)
  payload.byte(Kind.Bid)
  writeBid(payload, bid)
  return payload.take()
}

/** Throws {@link Malformed} for bytes that no client of this version writes. The arguments are checked when they are used. */
export function decodeEnvelope(bytes: Uint8Array): Envelope {
  const buffer = asBuffer(bytes)
  const reader = new ByteReader(buffer)
  const version = reader.byte()
  if (version !== VERSION) throw new Malformed(`envelope version ${version} is not ${VERSION}`)
  const kind = reader.byte()
  const envelope = readKind(kind, reader, buffer)
  reader.end()
  return envelope
}

/** "L" and a version: anything else on the subject is not ours. */
const VERSION = 0x4c
const Kind = {
  Opening: 0,
  Batch: 1,
  Attestation: 2,
  Reconfiguration: 3,
  Upgrade: 4,
  Renewal: 5,
  Bid: 6,
} as const
const payload = new ByteWriter(64 * 1024)

function readKind(kind: number, reader: ByteReader, bytes: Buffer): Envelope {
  switch (kind) {
    case Kind.Opening:
      return readOpening(reader)
    case Kind.Batch:
      return readBatch(reader, bytes)
    case Kind.Attestation:
      return readAttestation(reader)
    case Kind.Reconfiguration:
      return { _tag: "Reconfiguration", roster: readRoster(reader) }
    case Kind.Upgrade:
      return { _tag: "Upgrade", schema: readSchema(reader) }
    case Kind.Renewal:
      return readRenewal(reader)
    case Kind.Bid:
      return readBid(reader)
    default:
      throw new Malformed(`no envelope is of kind ${kind}`)
  }
}

function readAttestation(reader: ByteReader): Attestation {
  const replica = reader.name(ReplicaId)
  const epoch = Epoch(reader.varint())
  const seq = reader.varint()
  const chain = readDigest(reader)
  const state = readDigest(reader)
  return { _tag: "Attestation", replica, epoch, seq, chain, state, durable: reader.flag() }
}

function readOpening(reader: ByteReader): Opening {
  return { _tag: "Opening", client: reader.name(ClientId), number: reader.varint() }
}

/** From so many commands on, it is worth while to read a batch's bytes as one text. */
const MANY = 8

function readBatch(reader: ByteReader, bytes: Buffer): Batch {
  const client = reader.name(ClientId)
  const session = SessionId(reader.varint())
  const number = reader.varint()
  const settledBelow = reader.varint()
  if (settledBelow > number) throw new Malformed("a batch says that it is settled itself")
  const traces: Array<string> = []
  for (let left = reader.count(); left > 0; left--) traces.push(reader.string())
  const methods: Array<MethodName> = []
  for (let left = reader.count(); left > 0; left--)
    methods.push({ type: readName(reader), member: readName(reader) })
  const count = reader.count()
  if (count === 0) throw new Malformed("a batch without commands")
  if (number + count > Number.MAX_SAFE_INTEGER) throw new Malformed("a number is larger than 2^53 − 1")
  if (count >= MANY) reader.cutTexts()
  const commands: Array<Command> = []
  for (let i = 0; i < count; i++) {
    const method = reader.varint()
    const key = reader.string()
    const trace = reader.varint() - 1
    const length = reader.varint()
    const start = reader.position
    reader.skip(length)
    if (method >= methods.length || trace >= traces.length) throw new Malformed("a command names nothing")
    if (key.length === 0 || key.length > KEY_LENGTH_MAX) throw new Malformed("a key is empty or too long")
    commands.push(new Command(method, key, trace, bytes, start, reader.position))
  }
  return { _tag: "Batch", client, session, number, settledBelow, traces, methods, commands }
}

function readName(reader: ByteReader): string {
  const name = reader.string()
  if (name.length === 0 || name.length > NAME_LENGTH_MAX) throw new Malformed("a name is empty or too long")
  return name
}
