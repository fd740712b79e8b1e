/** A number that nothing in a run reaches. (Scenarios are written as JSON, which has no infinity.) */
export const NEVER = 1_000_000_000

/** A seeded generator: the same seed gives the same numbers, everywhere and for good. Not for secrets. */
export class Random {
  /** sfc32 (Doty-Humphrey, PractRand). */
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number | string) {
    const text = String(seed)
    this.#a = hash32(text, 0x9e3779b9)
    this.#b = hash32(text, 0x85ebca6b)
    this.#c = hash32(text, 0xc2b2ae35)
    for (let i = 0; i < 12; i++) this.bits()
  }

  /** A generator of its own for one subsystem, so that a change in one does not shift what the others draw. */
  fork(name: string): Random {
    return new Random(`${this.bits()}/${name}`)
  }

  /** 32 random bits, as a number that is not negative. */
  bits(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** From 0 (inclusive) to 1 (exclusive). */
  real(): number {
    return this.bits() / 0x1_0000_0000
  }

  /** A whole number from `min` to `max`, both inclusive. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.real() * (max - min + 1))
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return probability > 0 && this.real() < probability
  }

  /** An exponentially distributed time with this mean. */
  exponential(mean: number): number {
    return -Math.log(1 - this.real()) * mean
  }

  pick<Item>(items: ReadonlyArray<Item>): Item {
    const item = items[this.integer(0, items.length - 1)]
    if (item === undefined && items.length === 0) throw new RangeError("there is nothing to pick from")
    return item as Item // the index is within the bounds
  }

  /** The items in a random order. */
  shuffle<Item>(items: ReadonlyArray<Item>): Array<Item> {
    const shuffled = [...items]
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.integer(0, i)
      const held = shuffled[i] as Item // both indices are within the bounds
      shuffled[i] = shuffled[j] as Item // both indices are within the bounds
      shuffled[j] = held
    }
    return shuffled
  }
}

/** FNV-1a with a salt, finished as in MurmurHash3. */
function hash32(text: string, salt: number): number {
  let hash = 0x811c9dc5 ^ salt
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
