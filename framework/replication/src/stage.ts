import type { Digest } from "@lockstep/core"
import type { StagedBucket, StagedCheckpoint } from "./checkpoint.ts"

/** Buckets of peers' checkpoints, in memory: for a replica that has no disk of its own. */
export class Stage {
  readonly #buckets = new Map<Digest, StagedBucket["rows"]>()

  /** What is here. */
  digests(): Iterable<Digest> {
    return this.#buckets.keys()
  }

  add({ digest, rows }: StagedBucket): void {
    this.#buckets.set(digest, rows)
  }

  /** The rows of a checkpoint, all of whose buckets are here. The stage is empty afterwards. */
  take({ buckets }: StagedCheckpoint): ReadonlyMap<string, Uint8Array> {
    const rows = new Map<string, Uint8Array>()
    for (const digest of buckets.values())
      for (const [id, bytes] of this.#buckets.get(digest) ?? []) rows.set(id, bytes)
    this.#buckets.clear()
    return rows
  }
}
