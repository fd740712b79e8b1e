/**
 * A map that forgets what was not used for longest, so that all that it holds weighs no more than a bound, about: what was used last, up to half of that, it never
 * forgets. It has two generations, so that an entry need not move each time that it is used: a Map whose entries come and go keeps them alive until all of memory is
 * collected.
 */
export class RecentMap<Key, Value extends object> {
  readonly #generationMax: number
  readonly #weigh: (value: Value) => number
  #young = new Map<Key, Value>()
  #old = new Map<Key, Value>()
  /** Of all that was put into the young generation. */
  #weight = 0

  constructor(weightMax: number, weigh: (value: Value) => number) {
    this.#generationMax = weightMax / 2
    this.#weigh = weigh
  }

  get(key: Key): Value | undefined {
    const young = this.#young.get(key)
    if (young !== undefined) return young
    const old = this.#old.get(key)
    if (old !== undefined) this.set(key, old)
    return old
  }

  /** Also says that the value weighs something else than before. */
  set(key: Key, value: Value): void {
    this.#young.set(key, value)
    this.#weight += this.#weigh(value)
    if (this.#weight < this.#generationMax) return
    this.#weight = 0
    this.#old = this.#young
    this.#young = new Map()
  }
}
