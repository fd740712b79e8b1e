import type { ReplicaId } from "@lockstep/core"
import type { Need } from "./backup.ts"
import { encodePlea, type Offer, type Ship } from "./message.ts"

/** So often everybody is asked for a checkpoint, and so long the best one is waited for, milliseconds. */
const PLEAD_MS = 300

/**
 * A replica that the truncated log has left behind: without a checkpoint it cannot know who the primary is. Where there is one, that one is asked;
 * otherwise whoever has read the log far enough, because this replica may be the one that the others wait for.
 */
export class Stray {
  /** The first entry that the log holds. */
  readonly #firstSeq: number
  readonly #offers = new Map<ReplicaId, Offer>()
  #askedAtMs = Number.NEGATIVE_INFINITY

  constructor(firstSeq: number) {
    this.#firstSeq = firstSeq
  }

  /** What to tell everybody, or which checkpoint to fetch. */
  tick(nowMs: number): Uint8Array | Need | undefined {
    if (nowMs - this.#askedAtMs < PLEAD_MS) return undefined
    this.#askedAtMs = nowMs
    const best = [...this.#offers].toSorted(([, a], [, b]) => b.log - a.log || b.checkpoint - a.checkpoint)[0]
    this.#offers.clear()
    return best === undefined
      ? encodePlea({ firstSeq: this.#firstSeq })
      : { from: best[0], checkpoint: best[1].checkpoint }
  }

  hear(from: ReplicaId, message: Offer | Ship): Need | undefined {
    if (message._tag === "Ship") return { from, checkpoint: message.checkpoint }
    if (message.log + 1 >= this.#firstSeq) this.#offers.set(from, message)
    return undefined
  }
}
