import { callAll } from "./callers.ts"

/** Calls counters, one for each key, and knows what they must have come to: more than was acknowledged, or less, is a bug. */
export class Audit {
  readonly #counters: ReadonlyArray<Tallied>

  /**
   * Each adds one to the counter of a key, and resolves with what that is then. Nobody else calls them, but for what was added
   * before: `before` says how often, of each key.
   */
  constructor(adds: ReadonlyArray<() => Promise<number>>, before: (key: number) => number = () => 0) {
    this.#counters = adds.map((add, key) => ({ add, acknowledged: before(key), unknown: 0 }))
  }

  get keys(): number {
    return this.#counters.length
  }

  /** Adds one to the counter of this key. Rejects as the call does: it may have taken effect then. */
  async add(key: number): Promise<void> {
    const counter = this.#counters[key]
    if (counter === undefined) throw new Error(`there is no key ${key}`)
    try {
      await counter.add()
      counter.acknowledged++
    } catch (cause) {
      counter.unknown++
      throw cause
    }
  }

  /** Throws where a counter is not what was acknowledged. Nothing may be under way. */
  async check(who: string): Promise<void> {
    await callAll({ calls: this.keys, open: OPEN }, (key) => this.#checkOne(key, who))
  }

  async #checkOne(key: number, who: string): Promise<void> {
    const counter = this.#counters[key]
    if (counter === undefined) return
    const { acknowledged, unknown } = counter
    const added = (await counter.add()) - 1
    counter.acknowledged++
    if (added < acknowledged || added > acknowledged + unknown)
      throw new Error(
        `${who}: the counter of key ${key} is ${added}; ${acknowledged} calls were acknowledged, and ${unknown} failed`,
      )
  }
}

/** Counters that are checked at a time. */
const OPEN = 1000

interface Tallied {
  readonly add: () => Promise<number>
  acknowledged: number
  /** Calls that failed: they took effect or did not. */
  unknown: number
}
