import { Malformed } from "./bytes.ts"
import { addProducts, invertMatrix, type Matrix, multiplyMatrices, power } from "./galois-field.ts"

/** Shards of one code, at most. */
export const SHARDS_MAX = 255

/**
 * Reed–Solomon: `data` + `parity` shards, any `data` of which restore the bytes. With one data shard every shard is a copy.
 * The matrix is Vandermonde's, multiplied by the inverse of its own top square, so that the data shards are the bytes
 * themselves, one piece after the other, and any square of its rows can still be inverted (Plank 1997, corrected by Plank and
 * Ding 2003). It is the one that Backblaze's and Klaus Post's libraries use: they read these shards.
 *
 * It repairs what is missing, and notices nothing that is wrong: compare what it restores with a digest of that.
 */
export class ErasureCode {
  readonly data: number
  readonly parity: number
  /** What makes shard i of the data shards: the identity, then the parity. */
  readonly #rows: Matrix

  constructor(options: { readonly data: number; readonly parity: number }) {
    const { data, parity } = options
    if (!Number.isSafeInteger(data) || data < 1)
      throw new RangeError(`data must be a whole number from 1, not ${String(data)}`)
    if (!Number.isSafeInteger(parity) || parity < 0)
      throw new RangeError(`parity must be a whole number from 0, not ${String(parity)}`)
    if (data + parity > SHARDS_MAX)
      throw new RangeError(
        `a code has at most ${SHARDS_MAX} shards, not ${data} of data and ${parity} of parity`,
      )
    this.data = data
    this.parity = parity
    const vandermonde = Array.from({ length: data + parity }, (_, row) =>
      Uint8Array.from({ length: data }, (__, column) => power(row, column)),
    )
    this.#rows = multiplyMatrices(vandermonde, invertMatrix(vandermonde.slice(0, data)))
  }

  /**
   * The shards, all of one length: first the data, then the parity. Data shards are what the bytes and their end mark are cut
   * into, so that the bytes can be read, and their length is known, without a header. A copy needs no end mark.
   */
  encode(bytes: Uint8Array): ReadonlyArray<Buffer> {
    if (this.data === 1) return this.#rows.map(() => Buffer.from(bytes)) // every coefficient is one
    const marked = mark(bytes, this.data)
    const length = marked.length / this.data
    const shards = Array.from({ length: this.data }, (_, i) => marked.subarray(i * length, (i + 1) * length))
    return [...shards, ...this.#rows.slice(this.data).map((row) => combine(row, shards))]
  }

  /**
   * The bytes, from any `data` shards by their index; from those of the lowest indices where there are more. Throws
   * {@link Malformed} where there are too few, or where they are none that `encode` makes.
   */
  decode(shards: ReadonlyMap<number, Uint8Array>): Buffer {
    const given = [...shards].toSorted(([a], [b]) => a - b)
    for (const [index] of given)
      if (!Number.isInteger(index) || index < 0 || index >= this.#rows.length)
        throw new Malformed(`a code of ${this.#rows.length} shards has no shard ${index}`)
    if (given.length < this.data)
      throw new Malformed(`${given.length} shards are there, and it takes ${this.data} to restore the bytes`)
    const length = given[0]?.[1].length ?? 0
    if (given.some(([, shard]) => shard.length !== length)) throw new Malformed("the shards differ in length")
    const restored = this.#restore(given.slice(0, this.data))
    return this.data === 1 ? restored : unmark(restored, this.data)
  }

  /** The data shards, one after the other. Only those that are missing are computed. */
  #restore(given: ReadonlyArray<readonly [index: number, shard: Uint8Array]>): Buffer {
    const known = new Map(given)
    const shards = given.map(([, shard]) => shard)
    const isWhole = given.every(([index]) => index < this.data)
    const inverted = isWhole
      ? []
      : invertMatrix(given.map(([index]) => this.#rows[index] ?? new Uint8Array()))
    return Buffer.concat(
      Array.from(
        { length: this.data },
        (_, i) => known.get(i) ?? combine(inverted[i] ?? new Uint8Array(), shards),
      ),
    )
  }
}

/** The sum of the shards, each as often as its factor says. */
function combine(factors: Uint8Array, shards: ReadonlyArray<Uint8Array>): Buffer {
  const sum = Buffer.alloc(shards[0]?.length ?? 0)
  for (const [i, shard] of shards.entries()) addProducts(sum, factors[i] ?? 0, shard)
  return sum
}

/** Ends the bytes. Zeros pad, so the last byte that is none is the mark. */
const END = 0x80

/** The bytes, an end mark and zeros up to a multiple of `pieces`. */
function mark(bytes: Uint8Array, pieces: number): Buffer {
  const marked = Buffer.alloc(Math.ceil((bytes.length + 1) / pieces) * pieces)
  marked.set(bytes)
  marked[bytes.length] = END
  return marked
}

function unmark(marked: Buffer, pieces: number): Buffer {
  const end = marked.findLastIndex((byte) => byte !== 0)
  if (marked[end] !== END || marked.length - end > pieces)
    throw new Malformed("the restored bytes have no end mark: a shard is wrong, or of another code")
  return marked.subarray(0, end)
}
