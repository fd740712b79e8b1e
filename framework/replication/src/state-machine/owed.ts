import type { ReplicaId } from "@lockstep/core"
import type { Quorum } from "./pending.ts"

/** A vote may come after the decision. One that has not come after so long is missing, milliseconds. */
export const LATE_MS_MAX = 1000

/** Which voters have not done their part of what was decided: their votes are missing, or were for something else. */
export class Owed {
  /** Since when: of the first decision that a voter has said nothing to since its vote counted last. */
  readonly #sinceMs = new Map<ReplicaId, number>()
  #isDecided = false

  /** Something was decided without these. */
  decided(missing: ReadonlyArray<ReplicaId>, nowMs: number): void {
    this.#isDecided = true
    for (const replica of missing) if (!this.#sinceMs.has(replica)) this.#sinceMs.set(replica, nowMs)
  }

  matched(replica: ReplicaId): void {
    this.#sinceMs.delete(replica)
  }

  differed(replica: ReplicaId): void {
    this.#sinceMs.set(replica, Number.NEGATIVE_INFINITY)
  }

  /** Others vote from here on. */
  clear(): void {
    this.#sinceMs.clear()
    this.#isDecided = false
  }

  /** How many voters do their part beyond those that a decision needs. Undefined where nothing was decided yet. */
  margin({ needed, replicas }: Quorum, nowMs: number): number | undefined {
    if (!this.#isDecided) return undefined
    const isThere = (replica: ReplicaId): boolean =>
      nowMs - (this.#sinceMs.get(replica) ?? nowMs) <= LATE_MS_MAX
    return replicas.filter(isThere).length - needed
  }
}
