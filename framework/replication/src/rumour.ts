/** The roster is read again after this long at the earliest, then half as often each time that there is no news. */
const REFRESH_MS = 100
const REFRESH_MS_MAX = 2000

/**
 * When to look whether there is another roster: somebody votes in a later epoch, or nobody is heard. Anybody may say that there
 * is, and anybody may be silent, so the question has a price: it is asked less and less often while it leads to nothing.
 */
export class Rumour {
  #nextMs = 0
  #waitMs = REFRESH_MS

  /** Whether to look now. */
  heard(nowMs: number): boolean {
    if (nowMs < this.#nextMs) return false
    this.#nextMs = nowMs + this.#waitMs
    this.#waitMs = Math.min(2 * this.#waitMs, REFRESH_MS_MAX)
    return true
  }

  /** There was news. */
  confirmed(): void {
    this.#nextMs = 0
    this.#waitMs = REFRESH_MS
  }
}
