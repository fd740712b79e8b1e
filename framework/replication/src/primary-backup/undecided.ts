import { FifoMap } from "@lockstep/core"
import type { Pending } from "./pending.ts"

/** Batches whose callers were told that nobody knows what became of them: they may ask for them again, for a while. */
export class Undecided<Call> {
  readonly #max: number
  readonly #batches = new FifoMap<Pending<Call>>()

  constructor(max: number) {
    this.#max = max
  }

  get numbers(): Iterable<number> {
    return this.#batches.keys()
  }

  add(pending: Pending<Call>): void {
    pending.calls = pending.calls.map(() => undefined)
    this.#batches.set(pending.number, pending)
    if (this.#batches.size > this.#max) this.#batches.shift()
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

// What callers are told of them.
export const UNRECORDED =
  "The primary that the command was sent to is gone, and the next one has no record of it."
export const ADVICE =
  "It may or may not take effect; retry(error) finds its answer, or executes it where no primary has a record of it: then what it does to the outside world may happen twice (`context.id` is the same)."
export const TOO_LATE = "The primary did not answer in time."
