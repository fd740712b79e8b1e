import { bucketDigest, BUCKETS, type Digest } from "@lockstep/core"
import {
  type Checkpoint,
  type CheckpointChanges,
  type Library,
  placeOf,
  type Shelf,
  Stage,
  type StagedBucket,
  type StagedCheckpoint,
} from "@lockstep/replication"

interface Kept {
  readonly seq: number
  readonly header: Uint8Array
  readonly rows: ReadonlyMap<string, Uint8Array>
  readonly buckets: ReadonlyMap<number, Digest>
}

/** A replica's checkpoints, which take no time to keep. */
export class Disk implements Shelf, Library {
  /** The last ones, the newest at the end. */
  #kept: ReadonlyArray<Kept> = []
  readonly #stage = new Stage()
  /** It takes no checkpoint. */
  isFull = false

  get newest(): Checkpoint | undefined {
    return this.#kept.at(-1)
  }

  keep({ seq, header, rows, buckets }: CheckpointChanges): void {
    const before = this.#kept.at(-1)
    const all = new Map(before?.rows)
    for (const [id, bytes] of rows) {
      if (bytes === undefined) all.delete(id)
      else all.set(id, bytes)
    }
    const kept = { seq, header, rows: all, buckets: new Map([...(before?.buckets ?? []), ...buckets]) }
    this.#kept = [...this.#kept.slice(-1), kept]
  }

  stage(bucket: StagedBucket): void {
    this.#stage.add(bucket)
  }

  install(checkpoint: StagedCheckpoint): void {
    const { seq, header, buckets } = checkpoint
    const rows = this.#stage.take(checkpoint)
    this.#kept = [{ seq, header, rows, buckets }]
  }

  read(id: string): Uint8Array | undefined {
    return this.#kept.at(-1)?.rows.get(id)
  }

  rows(): ReadonlyMap<string, Uint8Array> {
    return this.#kept.at(-1)?.rows ?? new Map()
  }

  manifest(
    seq: number,
  ): { readonly header: Uint8Array; readonly buckets: ReadonlyArray<Digest> } | undefined {
    const kept = this.#kept.find((other) => other.seq === seq)
    if (kept === undefined) return undefined
    const buckets = Array.from({ length: BUCKETS }, (_, index) => kept.buckets.get(index) ?? EMPTY_BUCKET)
    return { header: kept.header, buckets }
  }

  bucket(seq: number, index: number): ReadonlyMap<string, Uint8Array> {
    const kept = this.#kept.find((other) => other.seq === seq)
    return new Map([...(kept?.rows ?? [])].filter(([id]) => placeOf(id) === index))
  }
}

const EMPTY_BUCKET = bucketDigest(new Map())
