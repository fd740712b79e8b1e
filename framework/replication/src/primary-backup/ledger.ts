import {
  type Answer,
  type Batch,
  type Digest,
  digest,
  invariant,
  Malformed,
  RecentMap,
  type SessionId,
  SessionTable,
  StateTree,
} from "@lockstep/core"
import type { Admission } from "@lockstep/core"
import {
  ACTOR_BYTES_MAX,
  type Checkpoint,
  CHECKPOINT_COMMANDS_MAX,
  CHECKPOINT_ROWS,
  type CheckpointChanges,
} from "../checkpoint.ts"
import type { ReplicaOptions, ReplicaOutput } from "../mode.ts"
import type { ReadUpTo } from "../past.ts"
import { actorOf, damagedRow, isActorId, sessionId, sessionOf } from "../row.ts"
import { History, type Written } from "./history.ts"
import { decodeRecord, type JournalRecord } from "./record.ts"
import type { Reigns } from "./reigns.ts"
import { Rows } from "./rows.ts"
import { decodeSnapshot, sealing } from "./snapshot.ts"
import { Underway } from "./underway.ts"

/** A group that does nothing takes checkpoints too: what its primary says in the log must not grow without end. */
const LOG_ENTRIES_MAX = 10_000
/** A checkpoint that is not on the disk after so many ticks is taken again. */
const PATIENCE_TICKS = 40
/** A checkpoint is taken each time that so many records are committed, where the group does not say otherwise. */
const CHECKPOINT_EVERY = 1000

/**
 * What a replica holds: records, of which the first ones are committed, and the rows that those have come to. Rows of records that are not
 * committed stand apart, so that they can be taken back.
 */
export class Ledger {
  readonly #options: ReplicaOptions
  readonly #every: number
  #history = new History()
  readonly #sessions: SessionTable
  readonly #tree = new StateTree()
  readonly #rows = new Rows()
  /** Rows that are as the shelf holds them, and were used last: to read one there takes longer than to execute a command. */
  readonly #shelfRows: RecentMap<string, Uint8Array>
  /** Buckets that the tree has digested since a checkpoint was begun last. */
  #buckets = new Map<number, Digest>()
  #actors = 0
  #committed = 0
  /** Writes of the journal that are not on the disk, and up to where it is. */
  #writes: Array<{ readonly write: number; readonly from: number; readonly last: number }> = []
  #write = 0
  #synced = 0
  /** The last checkpoint that was taken, with commands and bytes of records since then; and the last one that is on the disk, with the one before that. */
  #taken = 0
  #commands = 0
  #bytes = 0
  #takenLog = 0
  #underway: Underway | undefined
  /** The shell was asked for time for it, and has not said that there is some. */
  #hasAsked = false
  /** It is taken, or on its way to the disk. */
  #isBeingKept = false
  /** Checkpoints that are not on the disk, as far as is known: more than one where the disk takes long. */
  #onItsWay: ReadonlyArray<{ readonly position: number; readonly log: number }> = []
  /** Ticks since then. */
  #waited = 0
  /** Somebody needs one that has read further in the log. */
  wantsCheckpoint = false
  #shelved = { position: 0, log: 0, before: 0 }

  constructor(options: ReplicaOptions) {
    this.#options = options
    this.#every = options.checkpointEveryBatches ?? CHECKPOINT_EVERY
    this.#sessions = new SessionTable(options.sessionLimits)
    this.#shelfRows = new RecentMap(options.actorBytesMax ?? ACTOR_BYTES_MAX, bytesInMemory)
    if (options.shelf !== undefined) this.#sessions.noteChanges()
  }

  get history(): History {
    return this.#history
  }

  get sessions(): number {
    return this.#sessions.size
  }

  get actors(): number {
    return this.#actors
  }

  /** Every record up to here is acknowledged, as far as this replica knows. */
  get committed(): number {
    return this.#committed
  }

  /** Every record up to here is on this replica's disk. */
  get durable(): number {
    return Math.min(this.#synced, this.#history.last, ...this.#writes.map(({ from }) => from - 1))
  }

  /** Position of the last checkpoint that is on the disk, and how far it has read the log. */
  get shelved(): { readonly position: number; readonly log: number } {
    return this.#shelved
  }

  /** Position of the last checkpoint that is on the disk, if there is one: it has read something of the log, although it may hold no record. */
  get checkpointed(): number | undefined {
    return this.#shelved.log === 0 ? undefined : this.#shelved.position
  }

  /** Begins with what is on the disk. Throws Malformed for a checkpoint that is damaged. */
  restore(checkpoint: Checkpoint | undefined, reigns: Reigns): ReadUpTo | undefined {
    const snapshot = checkpoint && decodeSnapshot(checkpoint.header, reigns)
    if (checkpoint !== undefined && snapshot !== undefined) this.#restoreRows(checkpoint, snapshot.root)
    const start = snapshot?.position ?? 0
    this.#history = new History(start, snapshot?.spans)
    this.#committed = this.#taken = start
    this.#takenLog = snapshot?.log.seq ?? 0
    this.#shelved = { position: start, log: this.#takenLog, before: start }
    for (const bytes of this.#options.journal ?? []) {
      const record = decodeRecord(bytes)
      const { last, lastEpoch } = this.#history
      // an earlier master's, let go of when the process ended
      const isStale = record.position > last && record.epoch < lastEpoch
      if (record.position > last + 1 || isStale) break
      if (record.position > start) this.#history.append({ record, bytes: Buffer.from(bytes) })
    }
    this.#synced = this.#history.last
    return snapshot?.log
  }

  /** Adds records at the end, and writes them down. */
  append(records: ReadonlyArray<Written>): ReplicaOutput {
    const from = this.#history.last + 1
    for (const written of records) this.#history.append(written)
    return this.#journal(
      from,
      records.map(({ bytes }) => bytes),
    )
  }

  /** Lets go of records that are not the group's. */
  truncate(position: number): ReplicaOutput {
    invariant(position >= this.#committed, "what is committed is not taken back")
    this.#history.truncate(position)
    return this.#journal(position + 1, [])
  }

  journaled(write: number): void {
    const done = this.#writes.filter((other) => other.write <= write)
    this.#writes = this.#writes.slice(done.length)
    for (const { last } of done) this.#synced = last
  }

  /** The rows of this record can be seen by the next execution, although it is not committed. */
  show({ position, rows }: JournalRecord): void {
    for (const { id, bytes } of rows) this.#rows.show(id, bytes, position)
  }

  /** Nothing that is not committed can be seen any more. */
  hide(): void {
    this.#rows.hide()
  }

  /** Takes in the records up to this position. Yields them, with the answers that they are. */
  *commit(position: number): Generator<{ readonly record: JournalRecord; readonly answer: Answer }> {
    while (this.#committed < position) {
      const written = this.#history.settle(this.#committed + 1)
      invariant(written !== undefined, "what is committed is there")
      this.#committed++
      const { record, bytes: whole } = written
      this.#commands += record.count
      this.#bytes += whole.length
      const answer = answerOf(record)
      if (record.count === 0) this.#sessions.open(record.session, record.client)
      else {
        const admission = this.#sessions.admit(batchOf(record), record.position)
        if (admission._tag === "Fresh") this.#sessions.record(answer)
      }
      for (const { id, bytes } of record.rows)
        if (this.#rows.change(id, bytes, record.position) && !this.#tree.has(id)) this.#actors++
      yield { record, answer }
    }
  }

  /** What the history says of a batch. Changes nothing. */
  look(batch: Batch): Admission {
    return this.#sessions.look(batch)
  }

  /** The row of an actor by its id, as `seen`: committed records only, or all. Throws Malformed where the shelf's is damaged. */
  row(id: string, seen: "committed" | "all"): Uint8Array | undefined {
    const known = this.#rows.get(id, seen) ?? this.#shelfRows.get(id)
    if (known !== undefined) return known
    if (this.#options.shelf === undefined || !this.#tree.has(id)) return undefined
    const bytes = this.#options.shelf.read(id)
    if (bytes === undefined || !this.#tree.holds(id, bytes)) throw damagedRow(id)
    this.#shelfRows.set(id, bytes)
    return bytes
  }

  /**
   * A checkpoint, once it is complete. One of what is committed now is begun if it is time for that. Without a disk none is taken: all records stay
   * in memory.
   */
  checkpoint(log: ReadUpTo, reigns: Reigns): CheckpointChanges | undefined {
    const isTime = this.wantsCheckpoint || this.#progress >= 1 || log.seq - this.#takenLog >= LOG_ENTRIES_MAX
    if (this.#options.shelf !== undefined && !this.#isBeingKept && isTime && !this.#isTruncating)
      this.#begin(log, reigns)
    const complete = this.#underway?.complete
    if (complete === undefined) return undefined
    this.#underway = undefined
    this.#waited = 0
    return complete
  }

  /** Whether the shell is to be asked for time, which it is once until it says that there is some. */
  asks(): boolean {
    if (this.#underway === undefined || this.#hasAsked) return false
    return (this.#hasAsked = true)
  }

  /** There is time for more of the checkpoint that is underway: it is to be complete before the next one is due. */
  proceed(): void {
    this.#hasAsked = false
    this.#underway?.proceed(this.#rowsAtATime, this.#progress)
  }

  /** How far it is to the next checkpoint, since one was begun last: 1 where it is due. */
  get #progress(): number {
    const { checkpointEveryBytes = Number.POSITIVE_INFINITY } = this.#options
    return Math.max(
      (this.#committed - this.#taken) / this.#every,
      this.#commands / CHECKPOINT_COMMANDS_MAX,
      this.#bytes / checkpointEveryBytes,
    )
  }

  /** Records that were let go of may still be on the disk: whoever begins with a later checkpoint does not read again why they are gone. */
  get #isTruncating(): boolean {
    return this.#writes.some(({ from, last }) => last < from)
  }

  get #rowsAtATime(): number {
    return this.#options.checkpointRows ?? CHECKPOINT_ROWS
  }

  /** A checkpoint is on the disk. Records before the one before it are not needed any more. */
  persisted(position: number): ReadonlyArray<ReplicaOutput> {
    const kept = this.#onItsWay.findLast((taken) => taken.position === position)
    if (kept === undefined) return []
    this.#onItsWay = this.#onItsWay.filter((taken) => taken.position > position)
    if (position === this.#taken) {
      this.#underway?.proceed(Number.POSITIVE_INFINITY) // an earlier attempt at the same position is on the disk
      this.#isBeingKept = false
    }
    this.#shelved = { ...kept, before: this.#shelved.position }
    const rows = this.#rows.persisted(position).filter(([id]) => isActorId(id))
    for (const [id, bytes] of inOneBuffer(rows)) this.#shelfRows.set(id, bytes)
    this.#history.trim(this.#shelved.before)
    return [{ _tag: "Trim", below: this.#shelved.before + 1 }]
  }

  /** A checkpoint that the disk did not take may reach it with the next one only. */
  tick(): void {
    if (this.#underway !== undefined || !this.#isBeingKept || ++this.#waited < PATIENCE_TICKS) return
    this.#isBeingKept = false
    this.wantsCheckpoint = true
  }

  /** Of everything that is committed. */
  digest(): Digest {
    this.#underway?.proceed(Number.POSITIVE_INFINITY) // before anything that came later
    this.#changeSessions()
    for (const { id, bytes } of this.#rows.changed)
      if (bytes === undefined) this.#tree.delete(id)
      else this.#tree.set(id, bytes)
    for (const [bucket, now] of this.#tree.takeChanges()) this.#buckets.set(bucket, now)
    return this.#tree.root()
  }

  /** What is committed now is to be in a checkpoint. */
  #begin(log: ReadUpTo, reigns: Reigns): void {
    this.#changeSessions()
    const position = this.#committed
    const seal = sealing({ position, spans: this.#history.spansUpTo(position), log }, reigns)
    const [rows, buckets, tree] = [this.#rows.take(), this.#buckets, this.#tree]
    this.#buckets = new Map()
    this.#underway = new Underway({ position, rows, buckets, tree, seal })
    this.#taken = position
    this.#commands = this.#bytes = 0
    this.#takenLog = log.seq
    this.#onItsWay = [...this.#onItsWay, { position, log: log.seq }]
    this.#isBeingKept = true
    this.wantsCheckpoint = false
    this.#underway.proceed(this.#rowsAtATime)
  }

  #changeSessions(): void {
    for (const [session, bytes] of this.#sessions.takeChanges())
      this.#rows.change(sessionId(session), bytes, this.#committed)
  }

  #restoreRows(checkpoint: Checkpoint, root: Digest): void {
    const sessions = new Map<SessionId, Uint8Array>()
    for (const [id, bytes] of checkpoint.rows) {
      this.#tree.set(id, bytes)
      if (actorOf(id, bytes) === undefined) sessions.set(sessionOf(id), bytes)
      else {
        this.#actors++
        if (this.#options.shelf === undefined) this.#rows.keep(id, bytes)
      }
    }
    if (this.#tree.root() !== root)
      throw new Malformed("the rows of a checkpoint are not those of its header")
    this.#tree.takeChanges()
    this.#sessions.restore(sessions)
  }

  #journal(from: number, records: ReadonlyArray<Buffer>): ReplicaOutput {
    const write = ++this.#write
    this.#writes.push({ write, from, last: from + records.length - 1 })
    return { _tag: "Journal", write, from, records }
  }
}

/** A row, and its place in a map, about. */
function bytesInMemory(row: Uint8Array): number {
  return ROW_OVERHEAD_BYTES + row.length
}

const ROW_OVERHEAD_BYTES = 256

/** The same rows, which keep nothing else in memory: they were parts of messages, whose other parts nobody counts. */
function* inOneBuffer(
  rows: ReadonlyArray<readonly [id: string, bytes: Uint8Array]>,
): Generator<readonly [id: string, bytes: Uint8Array]> {
  const buffer = Buffer.allocUnsafeSlow(rows.reduce((size, [, { length }]) => size + length, 0))
  let start = 0
  for (const [id, bytes] of rows) {
    const end = start + bytes.length
    buffer.set(bytes, start)
    yield [id, buffer.subarray(start, end)]
    start = end
  }
}

/** Records have no chain: they are not voted on. */
const NO_CHAIN = digest("") // any digest has the length that a kept answer needs

function answerOf(record: JournalRecord): Answer {
  const { position: seq, session, number, count, outcomes } = record
  return { seq, chain: NO_CHAIN, session, number, count, outcomes }
}

function batchOf(record: JournalRecord) {
  const { client, session, number, settledBelow, count } = record
  return { client, session, number, settledBelow, commands: { length: count } }
}
