import { bucketDigest, type Digest, ErasureCode, Malformed } from "@lockstep/core"
import { decodeBucket, encodeBucket, placeOf, shardId, slotOf } from "../bucket.ts"
import type { Coding } from "../erasure-coded.ts"

/** What is not a shard of this replica's: it has none. */
const NO_SLOT = -1

/** Cuts checkpoints into shards, one for each voter, and puts them together again. */
export class Shards {
  readonly #code: ErasureCode
  /** All rows of the last checkpoint: a bucket is coded whole. */
  readonly #buckets = new Map<number, Map<string, Uint8Array>>()
  #slot = NO_SLOT

  constructor(coding: Coding) {
    this.#code = new ErasureCode(coding)
  }

  /** Shards that restore a bucket. */
  get needed(): number {
    return this.#code.data
  }

  /** Rows of the checkpoint that a replica begins with. */
  restore(id: string, bytes: Uint8Array): void {
    this.#bucket(placeOf(id)).set(id, bytes)
  }

  /**
   * What this replica keeps of changed rows: its shards of their buckets. `slot` is its place among those who keep shards, −1 where
   * it keeps none; in another place it keeps another shard of everything.
   */
  take(
    changes: ReadonlyMap<string, Uint8Array | undefined>,
    slot: number,
  ): ReadonlyMap<string, Uint8Array | undefined> {
    const changed = new Set<number>()
    for (const [id, bytes] of changes) {
      const index = placeOf(id)
      changed.add(index)
      if (bytes === undefined) this.#bucket(index).delete(id)
      else this.#bucket(index).set(id, bytes)
    }
    const rows = new Map<string, Uint8Array | undefined>()
    const before = this.#slot
    this.#slot = slot
    for (const index of slot === before ? changed : this.#buckets.keys()) {
      if (slot !== before && before !== NO_SLOT) rows.set(shardId(index, before), undefined)
      const shard = this.#shard(index, slot)
      if (slot !== NO_SLOT) rows.set(shardId(index, slot), shard)
    }
    return rows
  }

  /** All that this replica keeps, in place of whatever an earlier life of it has kept in another place. */
  takeAll(slot: number): ReadonlyMap<string, Uint8Array | undefined> {
    const rows = new Map<string, Uint8Array | undefined>()
    for (const index of this.#buckets.keys())
      for (let other = 0; other < this.#code.data + this.#code.parity; other++)
        rows.set(shardId(index, other), undefined)
    for (const [id, bytes] of this.take(new Map(), slot)) rows.set(id, bytes)
    return rows
  }

  /**
   * The rows of a bucket that has this digest, from what peers keep of it; undefined while there are too few right shards. Which
   * ones are wrong nobody knows beforehand, so each choice is tried.
   */
  restoreBucket(
    index: number,
    wanted: Digest,
    kept: ReadonlyArray<Uint8Array>,
  ): ReadonlyMap<string, Uint8Array> | undefined {
    const shards = kept.flatMap((bytes) => shardsOf(bytes, index))
    for (const choice of choices(shards, this.needed)) {
      const rows = this.#decode(new Map(choice), index)
      if (rows !== undefined && bucketDigest(rows) === wanted) return rows
    }
    return undefined
  }

  #shard(index: number, slot: number): Uint8Array | undefined {
    const rows = this.#bucket(index)
    return rows.size === 0 ? undefined : this.#code.encode(encodeBucket(rows))[slot]
  }

  #decode(
    shards: ReadonlyMap<number, Uint8Array>,
    index: number,
  ): ReadonlyMap<string, Uint8Array> | undefined {
    try {
      return shards.size < this.needed ? undefined : decodeBucket(this.#code.decode(shards), index)
    } catch (cause) {
      if (cause instanceof Malformed) return undefined
      throw cause
    }
  }

  #bucket(index: number): Map<string, Uint8Array> {
    let bucket = this.#buckets.get(index)
    if (bucket === undefined) this.#buckets.set(index, (bucket = new Map()))
    return bucket
  }
}

type Shard = readonly [slot: number, bytes: Uint8Array]

function shardsOf(bytes: Uint8Array, index: number): ReadonlyArray<Shard> {
  try {
    // one of each peer: there are not so many choices, then
    const [first] = decodeBucket(bytes, index)
    const slot = first && slotOf(first[0])
    return first === undefined || slot === undefined ? [] : [[slot, first[1]]]
  } catch (cause) {
    if (cause instanceof Malformed) return []
    throw cause
  }
}

/** Every choice of so many of these. */
function* choices(shards: ReadonlyArray<Shard>, count: number, from = 0): Generator<ReadonlyArray<Shard>> {
  if (count === 0) return yield []
  for (let i = from; i <= shards.length - count; i++)
    for (const rest of choices(shards, count - 1, i + 1)) yield [shards[i] as Shard, ...rest] // i is an index
}
