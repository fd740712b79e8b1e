import { type Operation, valueText } from "./history.ts"

/** No call, and no rank. */
export const NONE = -1

/**
 * The calls of one object that a search has not placed, in a list of those that returned and one of those that did not, both in
 * the order of their calls. A removed call remembers its neighbours, so that calls can be put back in reverse order (Knuth's
 * dancing links).
 */
export class Calls<Input, Output> {
  readonly count: number
  /** How many returned. Their ids are below it; indeterminate calls have the ids from it on. */
  readonly returned: number
  readonly #operations: ReadonlyArray<Operation<Input, Output>>
  readonly #ranks: Int32Array
  /** The moment of each return, ascending. */
  readonly #returns: Float64Array
  /** Of an indeterminate call, the one of equal input before it. Whichever took effect, it may as well have been the earlier. */
  readonly #twins: Int32Array
  readonly #isRemoved: Uint8Array
  /** Of each call, then of the two ends of the lists. */
  readonly #after: Int32Array
  readonly #before: Int32Array

  constructor(operations: ReadonlyArray<Operation<Input, Output>>) {
    const byCall = operations.toSorted((a, b) => a.call - b.call)
    const returned = byCall.filter((operation) => operation.return !== undefined)
    this.#operations = [...returned, ...byCall.filter((operation) => operation.return === undefined)]
    this.count = operations.length
    this.returned = returned.length
    const byReturn = returned.map((operation, id) => ({ id, at: operation.return ?? Infinity }))
    byReturn.sort((a, b) => a.at - b.at)
    this.#returns = Float64Array.from(byReturn, ({ at }) => at)
    this.#ranks = new Int32Array(this.count).fill(NONE)
    for (const [rank, { id }] of byReturn.entries()) this.#ranks[id] = rank
    this.#twins = twins(this.#operations, this.returned)
    this.#isRemoved = new Uint8Array(this.count)
    this.#after = new Int32Array(this.count + 2)
    this.#before = new Int32Array(this.count + 2)
    this.clear()
  }

  /** Puts every call back. */
  clear(): void {
    this.#isRemoved.fill(0)
    this.#link(this.count, 0, this.returned)
    this.#link(this.count + 1, this.returned, this.count)
  }

  operation(id: number): Operation<Input, Output> {
    return this.#operations[id] as Operation<Input, Output> // ids come from this class
  }

  /** The place of its return among all returns; {@link NONE} of an indeterminate call. */
  rank(id: number): number {
    return this.#ranks[id] ?? NONE
  }

  /** The calls that returned and were made before (or just when) the return of this rank. */
  open(rank: number): ReadonlyArray<number> {
    return this.#list(this.count, ({ call }) => call <= this.#due(rank))
  }

  /** As {@link open}, of the indeterminate calls; of twins, only the first. */
  openIndeterminate(rank: number): ReadonlyArray<number> {
    return this.#list(this.count + 1, ({ call }) => call <= this.#due(rank)).filter((id) => {
      const twin = this.#twins[id] ?? NONE
      return twin === NONE || this.#isRemoved[twin] === 1
    })
  }

  /** The first calls that returned, this many or all. */
  first(count: number): ReadonlyArray<number> {
    let left = count
    return this.#list(this.count, () => left-- > 0)
  }

  remove(id: number): void {
    const [before, after] = [this.#before[id] ?? NONE, this.#after[id] ?? NONE]
    this.#after[before] = after
    this.#before[after] = before
    this.#isRemoved[id] = 1
  }

  /** Puts back the call that was removed last. */
  restore(id: number): void {
    this.#after[this.#before[id] ?? NONE] = id
    this.#before[this.#after[id] ?? NONE] = id
    this.#isRemoved[id] = 0
  }

  #due(rank: number): number {
    return this.#returns[rank] ?? Infinity
  }

  /** The calls of a list up to the first that is not of this kind. */
  #list(end: number, isMeant: (operation: Operation<Input, Output>) => boolean): ReadonlyArray<number> {
    const ids: Array<number> = []
    let id = this.#after[end] ?? end
    while (id !== end && isMeant(this.operation(id))) {
      ids.push(id)
      id = this.#after[id] ?? end
    }
    return ids
  }

  /** Makes a ring of the ids from `from` to before `to`, and of its end. */
  #link(end: number, from: number, to: number): void {
    let before = end
    for (let id = from; id < to; id++) {
      this.#before[id] = before
      this.#after[before] = id
      before = id
    }
    this.#after[before] = end
    this.#before[end] = before
  }
}

function twins(operations: ReadonlyArray<Operation>, from: number): Int32Array {
  const latest = new Map<string, number>()
  const found = new Int32Array(operations.length).fill(NONE)
  for (const [id, { input }] of operations.entries()) {
    if (id < from) continue
    const text = valueText(input)
    found[id] = latest.get(text) ?? NONE
    latest.set(text, id)
  }
  return found
}
