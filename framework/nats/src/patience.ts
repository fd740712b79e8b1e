/** How long a server may lead to nothing before it is left for another, milliseconds: longer than electing a leader takes. */
export const PATIENCE_MS = 5000

/**
 * When a server is to be left: what was asked of it, again and again, came to nothing for too long. A server that is cut off from
 * its peers still answers pings, so that nothing else shows it.
 */
export class Patience {
  readonly #leave: () => void
  /** Since when nothing came of what was asked. */
  #sinceMs: number | undefined
  #askedMs = 0

  constructor(leave: () => void) {
    this.#leave = leave
  }

  /** Something is asked, or asked again. Whoever had nothing to ask for a while did not wait either. */
  asked(nowMs: number): void {
    if (this.#sinceMs === undefined || nowMs - this.#askedMs > PATIENCE_MS) this.#sinceMs = nowMs
    this.#askedMs = nowMs
    if (nowMs - this.#sinceMs <= PATIENCE_MS) return
    this.#sinceMs = undefined
    this.#leave()
  }

  /** The log answered. */
  answered(): void {
    this.#sinceMs = undefined
  }
}
