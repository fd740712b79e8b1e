import { bucketDigest, BUCKETS, type Digest } from "@lockstep/core"
import {
  type Checkpoint,
  type CheckpointChanges,
  type Library,
  type Probation,
  placeOf,
  type Shelf,
  Stage,
  type StagedCheckpoint,
  together,
} from "@lockstep/replication"
import { DiskJournal } from "./disk-journal.ts"
import type { Random } from "./random.ts"
import type { Schedule } from "./schedule.ts"

/** A checkpoint on a disk. */
interface Kept {
  readonly seq: number
  readonly header: Uint8Array
  readonly rows: Map<string, Uint8Array>
  readonly buckets: ReadonlyMap<number, Digest>
}

/**
 * One replica's disk: a write is there whole or not at all, and after a crash what was not yet synced is one or the other.
 * Besides, it rots, and somebody may put an old copy back.
 */
export class SimulatedDisk implements Shelf, Library {
  readonly #schedule: Schedule
  readonly #random: Random
  readonly #name: string
  /** From the oldest that a peer may ask for to the newest. */
  #kept: ReadonlyArray<Kept> = []
  #pending: Array<CheckpointChanges> = []
  /** What did not fit. */
  #overdue: CheckpointChanges | undefined
  #copy: ReadonlyArray<Kept> = []
  #stage = new Stage()
  #syncedAtMs = 0
  #floor = 0
  readonly journal: DiskJournal
  isFull = false
  /** How much longer a sync takes. */
  slowMs = 0
  /** Whether the replica was wrong before, and has passed its probation. */
  probation: Probation | undefined

  constructor(options: {
    readonly schedule: Schedule
    readonly random: Random
    readonly name: string
    /** Of its own, so that where there is no journal nothing else is drawn. */
    readonly journalRandom: Random
  }) {
    const { schedule, name } = options
    this.#schedule = schedule
    this.#random = options.random
    this.#name = name
    this.journal = new DiskJournal({
      schedule,
      random: options.journalRandom,
      name,
      isFull: () => this.isFull,
      slowMs: () => this.slowMs,
    })
  }

  /** What is there after a start. */
  load(): Checkpoint | undefined {
    return this.#newest && { header: this.#newest.header, rows: this.rows() }
  }

  rows(): Iterable<readonly [string, Uint8Array]> {
    return [...(this.#newest?.rows ?? [])]
  }

  read(id: string): Uint8Array | undefined {
    return this.#newest?.rows.get(id)
  }

  manifest(seq: number): ReturnType<Library["manifest"]> {
    const kept = this.#kept.find((checkpoint) => checkpoint.seq === seq)
    if (kept === undefined) return undefined
    const buckets = Array.from({ length: BUCKETS }, (_, index) => kept.buckets.get(index) ?? EMPTY_BUCKET)
    return { header: kept.header, buckets }
  }

  bucket(seq: number, index: number): ReadonlyMap<string, Uint8Array> {
    const kept = this.#kept.find((checkpoint) => checkpoint.seq === seq)
    return new Map([...(kept?.rows ?? [])].filter(([id]) => placeOf(id) === index))
  }

  write(next: CheckpointChanges, done: () => void): void {
    const changes = together(this.#overdue, next)
    this.#overdue = this.isFull ? changes : undefined
    if (this.isFull) return
    this.#pending.push(changes)
    // writes reach the disk in their order
    const freeAtMs = Math.max(this.#syncedAtMs, this.#schedule.nowMs)
    this.#syncedAtMs = freeAtMs + 0.2 + this.#random.exponential(3) + this.slowMs
    this.#schedule.after(this.#syncedAtMs - this.#schedule.nowMs, `${this.#name} syncs`, () => {
      if (!this.#pending.includes(changes)) return // the process died meanwhile
      this.#pending = this.#pending.filter((other) => other !== changes)
      this.#apply(changes)
      done()
    })
  }

  /** Nobody begins to ask for checkpoints below this position. */
  release(below: number): void {
    this.#floor = below
  }

  /** A bucket of a peer's checkpoint. */
  get stage(): Stage {
    return this.#stage
  }

  /** A whole checkpoint, all of which is staged, in place of what is there. */
  install(checkpoint: StagedCheckpoint): void {
    const { seq, header, buckets } = checkpoint
    this.#kept = [{ seq, header, buckets, rows: new Map(this.#stage.take(checkpoint)) }]
    this.#pending = []
    this.#overdue = undefined
  }

  /** The process dies: what it had not synced is there, or it is not. */
  crash(): void {
    for (const changes of this.#pending) {
      if (!this.#random.chance(0.5)) break // writes are in order
      this.#apply(changes)
    }
    this.#pending = []
    this.#overdue = undefined
    this.journal.crash()
  }

  /** Everything is gone. */
  wipe(): void {
    this.forgetCheckpoints()
    this.journal.empty()
  }

  /** Checkpoints are gone, with what is known of the replica's trial. */
  forgetCheckpoints(): void {
    this.#kept = []
    this.probation = undefined
    this.#pending = []
    this.#overdue = undefined
    this.#stage = new Stage()
  }

  /** One bit of one row is another, or one of a record. */
  rot(): void {
    this.journal.rot()
    const rows = [...(this.#newest?.rows ?? [])]
    if (rows.length === 0) return
    const [id, bytes] = this.#random.pick(rows)
    const rotten = Buffer.from(bytes)
    const at = this.#random.integer(0, Math.max(0, rotten.length - 1))
    rotten[at] = (rotten[at] ?? 0) ^ (1 << this.#random.integer(0, 7))
    this.#newest?.rows.set(id, rotten)
  }

  /** Somebody makes a copy of the disk. */
  backUp(): void {
    this.#copy = this.#kept.map((kept) => ({ ...kept, rows: new Map(kept.rows) }))
    this.journal.backUp()
  }

  /** Somebody puts the copy back, while the replica is down. */
  rollBack(): void {
    this.#kept = this.#copy.map((kept) => ({ ...kept, rows: new Map(kept.rows) }))
    this.journal.rollBack()
  }

  /** All records up to here are on it, one by one or in a checkpoint. */
  get lastPosition(): number {
    return Math.max(this.#newest?.seq ?? 0, this.journal.last)
  }

  get #newest(): Kept | undefined {
    return this.#kept.at(-1)
  }

  #apply({ seq, header, rows, buckets }: CheckpointChanges): void {
    const before = this.#kept.filter((checkpoint) => checkpoint.seq < seq)
    const base = this.#kept.findLast((checkpoint) => checkpoint.seq <= seq)
    const kept = new Map(base?.rows)
    for (const [id, bytes] of rows) {
      if (bytes === undefined) kept.delete(id)
      else kept.set(id, bytes)
    }
    const digests = new Map([...(base?.buckets ?? []), ...buckets])
    const after = this.#kept.filter((checkpoint) => checkpoint.seq > seq)
    const all = [...before, { seq, header, rows: kept, buckets: digests }, ...after]
    const oldest = all.findLastIndex((checkpoint) => checkpoint.seq <= this.#floor)
    this.#kept = all.slice(Math.max(0, oldest))
  }
}

const EMPTY_BUCKET = bucketDigest(new Map())
