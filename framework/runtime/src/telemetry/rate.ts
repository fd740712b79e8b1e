/** So many of something in a second, and as many at once; more than that is refused. */
export class Rate {
  readonly #perSecond: number
  #left: number
  #atMs: number

  constructor(perSecond: number, nowMs = performance.now()) {
    this.#perSecond = perSecond
    this.#left = perSecond
    this.#atMs = nowMs
  }

  /** Whether there may be one more. */
  take(nowMs = performance.now()): boolean {
    const grown = ((nowMs - this.#atMs) / 1000) * this.#perSecond
    this.#left = Math.min(this.#perSecond, this.#left + Math.max(0, grown))
    this.#atMs = nowMs
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}
