import type { ActorRow, ActorShelf } from "@lockstep/actor"
import {
  ByteReader,
  ByteWriter,
  type Digest,
  digest,
  Malformed,
  readDigest,
  readRoster,
  readSchema,
  type Roster,
  type Schema,
  SessionId,
  StateTree,
  writeRoster,
  writeSchema,
} from "@lockstep/core"
import type { Checkpoint, CheckpointChanges, Shelf } from "../checkpoint.ts"
import type { Coding } from "../erasure-coded.ts"
import { actorId, actorOf, damagedRow, sessionId, sessionOf } from "../row.ts"
import { Shards } from "./shards.ts"

/** What a checkpoint holds beside rows: where in the log it was taken. */
export interface CheckpointHeader {
  readonly seq: number
  readonly chain: Digest
  readonly chainBefore: Digest
  /** Replicated time. */
  readonly timeNs: bigint
  /** Who votes from there on. */
  readonly roster: Roster
  /** What is executed from there on with which versions, and the position of the entry that said so; 0 where none did. */
  readonly schema: Schema
  readonly since: number
  /** Of all rows. */
  readonly root: Digest
}

/** Gathers what changed since the last checkpoint, and knows the digest of everything. */
export class Checkpointer {
  readonly #tree = new StateTree()
  readonly #shards: Shards | undefined
  /** What changed, of the checkpoint that is gathered. */
  #rows = new Map<string, Uint8Array | undefined>()

  /** With a coding, a replica keeps its shard of everything instead of rows. */
  constructor(coding?: Coding) {
    this.#shards = coding && new Shards(coding)
  }

  /** Some of what changed, as it was at the position of the checkpoint. */
  gather(changes: {
    readonly actors?: ReadonlyArray<ActorRow>
    readonly sessions?: ReadonlyMap<SessionId, Buffer | undefined>
  }): void {
    for (const { type, key, bytes } of changes.actors ?? []) {
      const id = actorId(type, key)
      if (this.#tree.set(id, bytes)) this.#rows.set(id, bytes)
    }
    for (const [session, bytes] of changes.sessions ?? []) {
      const id = sessionId(session)
      if (bytes === undefined ? this.#tree.delete(id) : this.#tree.set(id, bytes)) this.#rows.set(id, bytes)
    }
  }

  /** Takes the digests of so many buckets that changed. Yields whether none are left. */
  digestSome(bucketsMax: number): boolean {
    return this.#tree.refresh(bucketsMax)
  }

  /**
   * All that was gathered since this was called last, and the digest of the whole state with it. `slot` is the replica's place among those who keep
   * shards.
   */
  take(position: Omit<CheckpointHeader, "root">, slot: number): CheckpointChanges {
    const rows = this.#rows
    this.#rows = new Map()
    const buckets = this.#tree.takeChanges()
    const header = encodeHeader({ ...position, root: this.#tree.root() })
    const kept = this.#shards?.take(rows, slot) ?? rows
    return { seq: position.seq, header, state: digest(header), rows: kept, buckets }
  }

  /**
   * Takes in a checkpoint that was kept: sessions are there afterwards, actors are given to `onActor`. Throws Malformed for one whose
   * rows are not those of its header, and whatever `onActor` throws for one that is whole.
   */
  restore(
    checkpoint: Checkpoint,
    onActor: (row: ActorRow) => void,
  ): {
    readonly header: CheckpointHeader
    readonly state: Digest
    readonly sessions: ReadonlyMap<SessionId, Uint8Array>
  } {
    const header = decodeHeader(checkpoint.header)
    const sessions = new Map<SessionId, Uint8Array>()
    let refusal: unknown
    for (const [id, bytes] of checkpoint.rows) {
      this.#tree.set(id, bytes)
      this.#shards?.restore(id, bytes)
      const actor = actorOf(id, bytes)
      if (actor === undefined) sessions.set(sessionOf(id), bytes)
      else
        try {
          onActor(actor)
        } catch (cause) {
          refusal ??= cause // a row that is damaged may look like one of another build
        }
    }
    if (this.#tree.root() !== header.root)
      throw new Malformed("the rows of a checkpoint are not those of its header")
    if (refusal !== undefined) throw refusal
    this.#tree.takeChanges()
    return { header, state: digest(checkpoint.header), sessions }
  }

  /** All that a replica keeps of the checkpoint that it began with, where that is not what it was given. */
  keep(checkpoint: Checkpoint, slot: number): CheckpointChanges | undefined {
    if (this.#shards === undefined) return undefined
    const { header } = checkpoint
    const buckets = new Map(this.#tree.bucketDigests().entries())
    const rows = this.#shards.takeAll(slot)
    return { seq: decodeHeader(header).seq, header, state: digest(header), rows, buckets }
  }

  /** The actors of the last checkpoint, where they are not in memory. Throws Malformed for a row that is not what it was. */
  actorsOn(shelf: Shelf): ActorShelf {
    const read = (type: string, key: string): Uint8Array | undefined => {
      const id = actorId(type, key)
      if (!this.#tree.has(id)) return undefined
      const bytes = shelf.read(id)
      if (bytes === undefined || !this.#tree.holds(id, bytes)) throw damagedRow(id)
      return bytes
    }
    const rows = function* (): Generator<ActorRow> {
      for (const [id, bytes] of shelf.rows()) {
        const actor = actorOf(id, bytes)
        if (actor !== undefined) yield actor
      }
    }
    return { read, rows }
  }
}

/** Throws Malformed. */
export function decodeHeader(bytes: Uint8Array): CheckpointHeader {
  const reader = new ByteReader(bytes)
  if (reader.byte() !== VERSION) throw new Malformed("not a checkpoint of this version")
  const header = {
    seq: reader.varint(),
    chain: readDigest(reader),
    chainBefore: readDigest(reader),
    timeNs: reader.uint64(),
    roster: readRoster(reader),
    schema: readSchema(reader),
    since: reader.varint(),
    root: readDigest(reader),
  }
  reader.end()
  return header
}

/** The bytes of a header, which is what replicas attest. */
export function encodeHeader(header: CheckpointHeader): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.varint(header.seq)
  writer.ascii(header.chain)
  writer.ascii(header.chainBefore)
  writer.uint64(header.timeNs)
  writeRoster(writer, header.roster)
  writeSchema(writer, header.schema)
  writer.varint(header.since)
  writer.ascii(header.root)
  return writer.take()
}

const VERSION = 0x43
const writer = new ByteWriter(256)
