import type { ActorRow } from "@lockstep/actor"
import {
  ByteReader,
  ByteWriter,
  type Digest,
  digest,
  Malformed,
  readDigest,
  readRoster,
  type Roster,
  rootOf,
  SessionId,
  StateTree,
  writeRoster,
} from "@lockstep/core"

/** What a checkpoint holds beside rows: where in the log it was taken. */
export interface CheckpointHeader {
  readonly seq: number
  readonly chain: Digest
  readonly chainBefore: Digest
  /** Replicated time. */
  readonly timeNs: bigint
  /** Who votes from there on. */
  readonly roster: Roster
  /** Of all rows. */
  readonly root: Digest
}

/** A whole checkpoint, as it was kept: rows by id. */
export interface Checkpoint {
  readonly header: Uint8Array
  readonly rows: ReadonlyMap<string, Uint8Array>
}

/** What a checkpoint changes in the one before it. A row without bytes is gone. */
export interface CheckpointChanges {
  readonly seq: number
  readonly header: Uint8Array
  /** Of the header, and so of everything. */
  readonly state: Digest
  readonly rows: ReadonlyMap<string, Uint8Array | undefined>
}

/** Gathers what changed since the last checkpoint, and knows the digest of everything. */
export class Checkpointer {
  readonly #tree = new StateTree()

  /** What changed, and the digest of the whole state with it. */
  take(
    position: Omit<CheckpointHeader, "root">,
    changes: {
      readonly actors: ReadonlyArray<ActorRow>
      readonly sessions: ReadonlyMap<SessionId, Buffer | undefined>
    },
  ): CheckpointChanges {
    const rows = new Map<string, Uint8Array | undefined>()
    for (const { type, key, bytes } of changes.actors) rows.set(actorId(type, key), bytes)
    for (const [id, bytes] of changes.sessions) rows.set(sessionId(id), bytes)
    for (const [id, bytes] of rows) {
      if (bytes === undefined) this.#tree.delete(id)
      else this.#tree.set(id, bytes)
    }
    const header = encodeHeader({ ...position, root: this.#tree.root() })
    return { seq: position.seq, header, state: digest(header), rows }
  }

  /** Takes in a checkpoint that was kept. Throws Malformed for one whose rows are not those of its header. */
  restore(checkpoint: Checkpoint): {
    readonly header: CheckpointHeader
    readonly state: Digest
    readonly actors: ReadonlyArray<ActorRow>
    readonly sessions: ReadonlyMap<SessionId, Uint8Array>
  } {
    const header = decodeHeader(checkpoint.header)
    const actors: Array<ActorRow> = []
    const sessions = new Map<SessionId, Uint8Array>()
    for (const [id, bytes] of checkpoint.rows) {
      this.#tree.set(id, bytes)
      const [kind, name = "", ...key] = id.split("\0")
      if (kind === "actor") actors.push({ type: name, key: key.join("\0"), bytes })
      else if (kind === "session") sessions.set(SessionId(Number(name)), bytes)
      else throw new Malformed(`a checkpoint has no row ${JSON.stringify(id)}`)
    }
    if (this.#tree.root() !== header.root)
      throw new Malformed("the rows of a checkpoint are not those of its header")
    return { header, state: digest(checkpoint.header), actors, sessions }
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
    root: readDigest(reader),
  }
  reader.end()
  return header
}

/** Whether buckets with these digests are those of a checkpoint. */
export function isRootOf(header: CheckpointHeader, buckets: ReadonlyArray<Digest>): boolean {
  return rootOf(buckets) === header.root
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
  writer.ascii(header.root)
  return writer.take()
}

// a type has no zero in it: a key may have, and stands last
function actorId(type: string, key: string): string {
  return `actor\0${type}\0${key}`
}

function sessionId(session: SessionId): string {
  return `session\0${session}`
}

const VERSION = 0x43
const writer = new ByteWriter(256)
