import { digest } from "./digest.ts"
import type { Digest } from "./ids.ts"

/** Rows are spread over so many buckets by a hash of their ids, so that a change costs the digest of its bucket. */
export const BUCKETS = 4096
/** Buckets whose digests are digested together, so that the root does not cost all of them. */
const GROUP = 64

/**
 * The digest of a state that consists of many rows, such that a change costs what changed and not the size of the state.
 * Two sets of rows have one root if, and only if, they are equal; each bucket can be checked against it by itself.
 */
export class StateTree {
  readonly #buckets: Array<Map<string, Digest> | undefined> = Array.from({ length: BUCKETS })
  readonly #digests: Array<Digest> = Array.from({ length: BUCKETS }, () => EMPTY)
  readonly #groups: Array<Digest> = [...EMPTY_GROUPS]
  readonly #changed = new Set<number>()
  #size = 0

  /** Rows. */
  get size(): number {
    return this.#size
  }

  set(id: string, bytes: Uint8Array): void {
    const index = bucketOf(id)
    const bucket = (this.#buckets[index] ??= new Map())
    if (!bucket.has(id)) this.#size++
    bucket.set(id, digest(bytes))
    this.#changed.add(index)
  }

  delete(id: string): void {
    const index = bucketOf(id)
    if (this.#buckets[index]?.delete(id) !== true) return
    this.#size--
    this.#changed.add(index)
  }

  /** The digest of each bucket. */
  bucketDigests(): ReadonlyArray<Digest> {
    const groups = new Set<number>()
    for (const index of this.#changed) {
      this.#digests[index] = digestOf(this.#buckets[index] ?? new Map())
      groups.add(Math.floor(index / GROUP))
    }
    for (const group of groups) this.#groups[group] = groupDigest(this.#digests, group)
    this.#changed.clear()
    return this.#digests
  }

  /** The digest of all rows. */
  root(): Digest {
    this.bucketDigests()
    return digest(this.#groups.join(""))
  }
}

/** The bucket that a row belongs to, for good. */
export function bucketOf(id: string): number {
  return Number.parseInt(digest(id).slice(0, 3), 16)
}

/** The digest of a bucket that holds these rows. */
export function bucketDigest(rows: ReadonlyMap<string, Uint8Array>): Digest {
  return digestOf(new Map([...rows].map(([id, bytes]) => [id, digest(bytes)])))
}

/** The root over buckets that have these digests. */
export function rootOf(buckets: ReadonlyArray<Digest>): Digest {
  return digest(EMPTY_GROUPS.map((_, group) => groupDigest(buckets, group)).join(""))
}

function groupDigest(buckets: ReadonlyArray<Digest>, group: number): Digest {
  return digest(buckets.slice(group * GROUP, (group + 1) * GROUP).join(""))
}

function digestOf(rows: ReadonlyMap<string, Digest>): Digest {
  if (rows.size === 0) return EMPTY
  // ids are quoted, so that no two lists of rows make one text
  return digest(
    [...rows]
      .map(([id, row]) => `${JSON.stringify(id)} ${row}`)
      .toSorted()
      .join("\n"),
  )
}

const EMPTY = digest("an empty bucket")
const EMPTY_GROUPS: ReadonlyArray<Digest> = Array.from({ length: BUCKETS / GROUP }, () =>
  digest(EMPTY.repeat(GROUP)),
)
