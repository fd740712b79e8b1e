import { type Digest, digest, type StateTree } from "@lockstep/core"
import { BUCKETS_AT_A_TIME, type CheckpointChanges } from "../checkpoint.ts"

/** A row as it is in a checkpoint; without bytes, it is gone. */
export type TakenRow = readonly [id: string, bytes: Uint8Array | undefined]

/** A checkpoint that is taken a part at a time: what is in it is settled, and what it all digests to is not yet. */
export class Underway {
  readonly #position: number
  readonly #rows: ReadonlyArray<TakenRow>
  readonly #buckets: Map<number, Digest>
  readonly #tree: StateTree
  readonly #seal: (root: Digest) => Buffer
  #taken = 0
  #changes: CheckpointChanges | undefined

  constructor(of: {
    readonly position: number
    /** What changed since the one before, as of this position. */
    readonly rows: ReadonlyArray<TakenRow>
    /** Buckets that the tree has digested since then. */
    readonly buckets: Map<number, Digest>
    /** As of the one before, but for some of the rows. Nothing else is put into it until this is complete. */
    readonly tree: StateTree
    /** Its header, for this root. */
    readonly seal: (root: Digest) => Buffer
  }) {
    this.#position = of.position
    this.#rows = of.rows
    this.#buckets = of.buckets
    this.#tree = of.tree
    this.#seal = of.seal
  }

  /** What it changes in the one before, once that is known. */
  get complete(): CheckpointChanges | undefined {
    return this.#changes
  }

  /** Takes so many more rows; more of them where less than this share of all would be taken. */
  proceed(rowsMax: number, share = 0): void {
    if (this.#changes !== undefined) return
    const end = Math.max(this.#taken + rowsMax, Math.ceil(this.#rows.length * share))
    for (; this.#taken < Math.min(end, this.#rows.length); this.#taken++) {
      const [id, bytes] = this.#rows[this.#taken] as TakenRow // inside the bounds
      if (bytes === undefined) this.#tree.delete(id)
      else this.#tree.set(id, bytes)
    }
    if (this.#taken < this.#rows.length || !this.#tree.refresh(Math.max(rowsMax, BUCKETS_AT_A_TIME))) return
    for (const [bucket, now] of this.#tree.takeChanges()) this.#buckets.set(bucket, now)
    const header = this.#seal(this.#tree.root())
    const rows = new Map(this.#rows)
    this.#changes = { seq: this.#position, header, state: digest(header), rows, buckets: this.#buckets }
  }
}
