import type { Wanted } from "../checkpoint.ts"
import { Parts } from "../parts.ts"

/** A peer is silent for so many ticks before it is asked again: the last answer may have been lost. */
const ASK_AGAIN_TICKS = 2

/** A peer that has a checkpoint, and what it has sent of it. */
export class Holder {
  /** Parts of buckets that are not whole yet. */
  readonly #parts = new Map<number, Parts>()
  /** Something came since it was asked last. */
  #hasMore = false
  /** Ticks in which nothing came. */
  idleTicks = 0

  /** A part of what it keeps of a bucket: all of that, once all parts are here. */
  add(piece: {
    readonly index: number
    readonly part: number
    readonly parts: number
    readonly bytes: Uint8Array
  }): Uint8Array | undefined {
    let parts = this.#parts.get(piece.index)
    if (parts?.count !== piece.parts) this.#parts.set(piece.index, (parts = new Parts(piece.parts)))
    if (parts.add(piece.part, piece.bytes)) {
      this.idleTicks = 0
      this.#hasMore = true
    }
    const whole = parts.whole()
    if (whole !== undefined) this.#parts.delete(piece.index)
    return whole
  }

  /** How to ask for a bucket: for those parts that are missing. */
  wanted(index: number): Wanted {
    return { index, part: this.#parts.get(index)?.firstMissing ?? 0 }
  }

  /** It was asked. */
  asked(): void {
    this.#hasMore = false
  }

  /** It has paused. Whether to ask it for more: one that sends nothing must not be asked as fast as it answers. */
  paused(): boolean {
    return this.#hasMore
  }

  /** Time passes. Whether to ask it again. */
  tick(): boolean {
    return ++this.idleTicks >= ASK_AGAIN_TICKS
  }
}
