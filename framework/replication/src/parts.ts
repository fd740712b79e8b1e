/** Parts that a peer sends may be so many, at most: it may say anything. */
const PARTS_MAX = 64 * 1024

/** Bytes that arrive in parts, in any order. */
export class Parts {
  /** How many parts there are. */
  readonly count: number
  readonly #received = new Map<number, Uint8Array>()

  constructor(count: number) {
    this.count = count
  }

  /** Whether it was new. */
  add(part: number, bytes: Uint8Array): boolean {
    if (part >= this.count || this.count > PARTS_MAX || this.#received.has(part)) return false
    this.#received.set(part, bytes)
    return true
  }

  /** The first part that is not here. */
  get firstMissing(): number {
    let part = 0
    while (this.#received.has(part)) part++
    return part
  }

  /** All bytes, once all parts are here. */
  whole(): Buffer | undefined {
    if (this.#received.size < this.count) return undefined
    return Buffer.concat([...this.#received].toSorted(([a], [b]) => a - b).map(([, bytes]) => bytes))
  }
}
