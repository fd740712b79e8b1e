import type { Journaling, JournalWrite } from "./journal.ts"

/** A journal of a replica without a disk: what is in it is as safe as the replica's memory. */
export class VolatileJournal implements Journaling {
  readonly #onJournaled: (write: number) => void
  #last: number | undefined
  #closed = false

  constructor(onJournaled: (write: number) => void) {
    this.#onJournaled = onJournaled
  }

  *records(): Generator<Buffer, void> {}

  write({ write }: JournalWrite): void {
    if (this.#last === undefined) setImmediate(() => this.#tell())
    this.#last = write
  }

  trim(): void {}

  reset(): void {
    this.#last = undefined
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #tell(): void {
    const last = this.#last
    this.#last = undefined
    if (last !== undefined && !this.#closed) this.#onJournaled(last)
  }
}
