import { FifoMap } from "@lockstep/core"

/** A batch that was sent, and who waits for each of its commands; undefined once told. */
interface Sent<Call> {
  readonly number: number
  calls: Array<Call | undefined>
}

/** Batches whose callers were told that nobody knows what became of them: they may ask for them again, for a while. */
export class Undecided<Pending extends Sent<unknown>> {
  readonly #max: number
  readonly #batches = new FifoMap<Pending>()

  constructor(max: number) {
    this.#max = max
  }

  get all(): Iterable<Pending> {
    return this.#batches.values()
  }

  /** By the number of its first command. */
  get(number: number): Pending | undefined {
    return this.#batches.get(number)
  }

  add(pending: Pending): void {
    pending.calls = pending.calls.map(() => undefined)
    this.#batches.set(pending.number, pending)
    if (this.#batches.size > this.#max) this.#batches.shift()
  }

  /** Takes out the batch that holds this number. */
  take(number: number): Pending | undefined {
    for (const pending of this.#batches.values())
      if (holds(pending, number)) {
        this.#batches.delete(pending.number)
        return pending
      }
    return undefined
  }
}

export function holds(pending: Sent<unknown>, number: number): boolean {
  return number >= pending.number && number < pending.number + pending.calls.length
}
