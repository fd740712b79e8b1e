import type { Checkpoint, CheckpointChanges } from "@lockstep/replication"
import type { Random } from "./random.ts"
import type { Schedule } from "./schedule.ts"

/**
 * One replica's disk: a write is there whole or not at all, and after a crash what was not yet synced is one or the other.
 * Besides, it rots, and somebody may put an old copy back.
 */
export class SimulatedDisk {
  readonly #schedule: Schedule
  readonly #random: Random
  readonly #name: string
  #kept: { readonly header: Uint8Array; readonly rows: Map<string, Uint8Array> } | undefined
  #pending: Array<CheckpointChanges> = []
  #copy: Checkpoint | undefined
  #syncedAtMs = 0
  isFull = false

  constructor(schedule: Schedule, random: Random, name: string) {
    this.#schedule = schedule
    this.#random = random
    this.#name = name
  }

  /** What is there after a start. */
  load(): Checkpoint | undefined {
    return this.#kept && { header: this.#kept.header, rows: new Map(this.#kept.rows) }
  }

  write(changes: CheckpointChanges, done: () => void): void {
    if (this.isFull) return
    this.#pending.push(changes)
    // writes reach the disk in their order
    this.#syncedAtMs = Math.max(this.#syncedAtMs, this.#schedule.nowMs) + 0.2 + this.#random.exponential(3)
    this.#schedule.after(this.#syncedAtMs - this.#schedule.nowMs, `${this.#name} syncs`, () => {
      if (!this.#pending.includes(changes)) return // the process died meanwhile
      this.#pending = this.#pending.filter((other) => other !== changes)
      this.#apply(changes)
      done()
    })
  }

  /** The process dies: what it had not synced is there, or it is not. */
  crash(): void {
    for (const changes of this.#pending) {
      if (!this.#random.chance(0.5)) break // writes are in order
      this.#apply(changes)
    }
    this.#pending = []
  }

  /** Everything is gone. */
  wipe(): void {
    this.#kept = undefined
    this.#pending = []
  }

  /** A whole checkpoint, in place of what is there. */
  replace(checkpoint: Checkpoint): void {
    this.#kept = { header: checkpoint.header, rows: new Map(checkpoint.rows) }
    this.#pending = []
  }

  /** One bit of one row is another. */
  rot(): void {
    const rows = [...(this.#kept?.rows ?? [])]
    if (rows.length === 0) return
    const [id, bytes] = this.#random.pick(rows)
    const rotten = Buffer.from(bytes)
    const at = this.#random.integer(0, Math.max(0, rotten.length - 1))
    rotten[at] = (rotten[at] ?? 0) ^ (1 << this.#random.integer(0, 7))
    this.#kept?.rows.set(id, rotten)
  }

  /** Somebody makes a copy of the disk. */
  backUp(): void {
    this.#copy = this.load()
  }

  /** Somebody puts the copy back, while the replica is down. */
  rollBack(): void {
    this.#kept = this.#copy && { header: this.#copy.header, rows: new Map(this.#copy.rows) }
  }

  #apply({ header, rows }: CheckpointChanges): void {
    const kept = new Map(this.#kept?.rows)
    for (const [id, bytes] of rows) {
      if (bytes === undefined) kept.delete(id)
      else kept.set(id, bytes)
    }
    this.#kept = { header, rows: kept }
  }
}
