import { hash } from "node:crypto"
import { digest } from "./digest.ts"
import type { Digest } from "./ids.ts"

/** Rows are spread over so many buckets by a hash of their ids, so that a change costs the digest of its bucket. */
export const BUCKETS = 4096
/** Buckets whose digests are digested together, so that the root does not cost all of them. */
const GROUP = 64

/**
 * The digest of a state that consists of many rows, such that a change costs what changed and not the size of the state.
 * Two sets of rows have one root if, and only if, they are equal; each bucket can be checked against it by itself. It keeps
 * 64 bytes of each row, and nothing else of it: neither its id nor its bytes.
 */
export class StateTree {
  readonly #buckets: Array<Bucket | undefined> = Array.from({ length: BUCKETS })
  readonly #digests: Array<Digest> = Array.from({ length: BUCKETS }, () => EMPTY)
  readonly #groups: Array<Digest> = [...EMPTY_GROUPS]
  /** Buckets that changed since their digests were taken, and those whose digests are not in their groups' yet. */
  readonly #stale = new Set<number>()
  readonly #fresh = new Set<number>()
  #size = 0

  /** Rows. */
  get size(): number {
    return this.#size
  }

  has(id: string): boolean {
    const name = sha256(id)
    return this.#buckets[indexOf(name)]?.find(name) !== undefined
  }

  /** Whether the row of this id has these bytes. */
  holds(id: string, bytes: Uint8Array): boolean {
    const name = sha256(id)
    return this.#buckets[indexOf(name)]?.find(name)?.equals(sha256(bytes)) === true
  }

  /** Whether that changed anything. */
  set(id: string, bytes: Uint8Array): boolean {
    const name = sha256(id)
    const index = indexOf(name)
    const change = (this.#buckets[index] ??= new Bucket()).set(name, sha256(bytes))
    if (change === "same") return false
    if (change === "new") this.#size++
    this.#stale.add(index)
    return true
  }

  /** Whether there was such a row. */
  delete(id: string): boolean {
    const name = sha256(id)
    const index = indexOf(name)
    if (this.#buckets[index]?.delete(name) !== true) return false
    this.#size--
    this.#stale.add(index)
    return true
  }

  /** Takes the digests of so many of the buckets that changed, so that what asks for them has less to do. Yields whether none are left. */
  refresh(bucketsMax = Number.POSITIVE_INFINITY): boolean {
    let left = bucketsMax
    for (const index of this.#stale) {
      if (left-- <= 0) return false
      this.#digests[index] = this.#buckets[index]?.digest() ?? EMPTY
      this.#stale.delete(index)
      this.#fresh.add(index)
    }
    return true
  }

  /** The digest of each bucket. */
  bucketDigests(): ReadonlyArray<Digest> {
    this.refresh()
    const groups = new Set([...this.#fresh].map((index) => Math.floor(index / GROUP)))
    for (const group of groups) this.#groups[group] = groupDigest(this.#digests, group)
    this.#fresh.clear()
    return this.#digests
  }

  /** The buckets that changed since digests were taken last, with their digests now. */
  takeChanges(): ReadonlyMap<number, Digest> {
    this.refresh()
    const changed = [...this.#fresh]
    const digests = this.bucketDigests()
    return new Map(changed.map((index) => [index, digests[index] ?? EMPTY]))
  }

  /** The digest of all rows. */
  root(): Digest {
    this.bucketDigests()
    return digest(this.#groups.join(""))
  }
}

/** The bucket that a row belongs to, for good. */
export function bucketOf(id: string): number {
  return indexOf(sha256(id))
}

/** The digest of a bucket that holds these rows. */
export function bucketDigest(rows: ReadonlyMap<string, Uint8Array>): Digest {
  const bucket = new Bucket()
  for (const [id, bytes] of rows) bucket.set(sha256(id), sha256(bytes))
  return bucket.digest()
}

/** The root over buckets that have these digests. */
export function rootOf(buckets: ReadonlyArray<Digest>): Digest {
  return digest(EMPTY_GROUPS.map((_, group) => groupDigest(buckets, group)).join(""))
}

/** The rows of a bucket: for each the hash of its id and the hash of its bytes, one behind the other, sorted. */
class Bucket {
  #records = Buffer.alloc(RECORD)
  #length = 0

  /** The hash of the bytes of the row that has this name. */
  find(name: Buffer): Buffer | undefined {
    const at = this.#place(name)
    return this.#isAt(at, name) ? this.#records.subarray(at + HASH, at + RECORD) : undefined
  }

  set(name: Buffer, row: Buffer): "new" | "changed" | "same" {
    const at = this.#place(name)
    if (this.#isAt(at, name)) {
      if (row.equals(this.#records.subarray(at + HASH, at + RECORD))) return "same"
      row.copy(this.#records, at + HASH)
      return "changed"
    }
    if (this.#length === this.#records.length) {
      const larger = Buffer.alloc(2 * this.#length)
      this.#records.copy(larger)
      this.#records = larger
    }
    this.#records.copyWithin(at + RECORD, at, this.#length)
    name.copy(this.#records, at)
    row.copy(this.#records, at + HASH)
    this.#length += RECORD
    return "new"
  }

  delete(name: Buffer): boolean {
    const at = this.#place(name)
    if (!this.#isAt(at, name)) return false
    this.#records.copyWithin(at, at + RECORD, this.#length)
    this.#length -= RECORD
    return true
  }

  digest(): Digest {
    return this.#length === 0 ? EMPTY : digest(this.#records.subarray(0, this.#length))
  }

  /** Where the record of this name is, or would be. */
  #place(name: Buffer): number {
    let [low, high] = [0, this.#length / RECORD]
    while (low < high) {
      const middle = (low + high) >>> 1
      const at = middle * RECORD
      if (name.compare(this.#records, at, at + HASH) > 0) low = middle + 1
      else high = middle
    }
    return low * RECORD
  }

  #isAt(at: number, name: Buffer): boolean {
    return at < this.#length && name.compare(this.#records, at, at + HASH) === 0
  }
}

const HASH = 32
const RECORD = 2 * HASH

/** By way of a text: asking node:crypto for bytes takes twice as long. */
function sha256(bytes: Uint8Array | string): Buffer {
  return Buffer.from(hash("sha256", bytes, "binary"), "latin1")
}

function indexOf(name: Buffer): number {
  return name.readUInt16BE(0) >>> 4
}

function groupDigest(buckets: ReadonlyArray<Digest>, group: number): Digest {
  return digest(buckets.slice(group * GROUP, (group + 1) * GROUP).join(""))
}

const EMPTY = digest("an empty bucket")
const EMPTY_GROUPS: ReadonlyArray<Digest> = Array.from({ length: BUCKETS / GROUP }, () =>
  digest(EMPTY.repeat(GROUP)),
)
