import type { Pending } from "./pending.ts"

/** Batches whose callers were told that nobody knows what became of them: they may ask for them again, for a while. */
export class Undecided<Call> {
  readonly #max: number
  readonly #batches = new Map<number, Pending<Call>>()

  constructor(max: number) {
    this.#max = max
  }

  get numbers(): Iterable<number> {
    return this.#batches.keys()
  }

  add(pending: Pending<Call>): void {
    pending.calls = pending.calls.map(() => undefined)
    this.#batches.set(pending.number, pending)
    for (const oldest of this.#batches.keys()) {
      if (this.#batches.size <= this.#max) break
      this.#batches.delete(oldest)
    }
  }

  /** Takes out the batch that holds this number. */
  take(number: number): Pending<Call> | undefined {
    for (const pending of this.#batches.values())
      if (holds(pending, number)) {
        this.#batches.delete(pending.number)
        return pending
      }
    return undefined
  }
}

export function holds(pending: Pending<unknown>, number: number): boolean {
  return number >= pending.number && number < pending.number + pending.calls.length
}
