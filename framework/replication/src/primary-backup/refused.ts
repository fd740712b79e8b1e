/** Refusals that are remembered. */
const REFUSED_MAX = 4096

/** Batches that were refused, the last ones: a copy of one that comes late is refused as well. */
export class Refused {
  readonly #keys = new Set<string>()

  has(key: string): boolean {
    return this.#keys.has(key)
  }

  add(key: string): void {
    this.#keys.add(key)
    if (this.#keys.size <= REFUSED_MAX) return
    for (const oldest of this.#keys) {
      this.#keys.delete(oldest)
      return
    }
  }
}
