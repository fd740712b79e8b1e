import type { Random } from "./random.ts"
import type { Schedule } from "./schedule.ts"

/** What is to stand in the journal from a position on. */
export interface JournalWrite {
  /** Numbers the writes. */
  readonly write: number
  readonly from: number
  readonly records: ReadonlyArray<Uint8Array>
}

export interface DiskJournalOptions {
  readonly schedule: Schedule
  readonly random: Random
  readonly name: string
  /** Nothing can be written now. */
  readonly isFull: () => boolean
  /** How much longer a sync takes now, milliseconds. */
  readonly slowMs: () => number
}

/** How long it waits before it tries again to write what did not fit. */
const RETRY_MS = 100

/**
 * The journal on a simulated disk. While one sync runs, what comes meanwhile waits, and shares the next one. After a crash, of what was not synced a
 * beginning is there, or nothing; and perhaps only some of a write's records.
 */
export class DiskJournal {
  readonly #options: DiskJournalOptions
  /** Records that are on the disk, the first at this position. */
  #first = 1
  #records: Array<Uint8Array> = []
  #unsynced: Array<JournalWrite & { readonly done: (write: number) => void }> = []
  #isSyncing = false
  /** Counts what makes an end of everything that is under way. */
  #life = 0
  #copy: { readonly first: number; readonly records: ReadonlyArray<Uint8Array> } = { first: 1, records: [] }

  constructor(options: DiskJournalOptions) {
    this.#options = options
  }

  /** What is there after a start. */
  records(): ReadonlyArray<Uint8Array> {
    return [...this.#records]
  }

  /** `done` is told of this write, or of a later one, once it is on the disk. */
  write(write: JournalWrite, done: (write: number) => void): void {
    this.#unsynced.push({ ...write, done })
    this.#sync()
  }

  /** What is below this position is not needed. */
  trim(below: number): void {
    const count = Math.min(this.#records.length, below - this.#first)
    if (count <= 0) return
    this.#records.splice(0, count)
    this.#first += count
  }

  /** The process dies. */
  crash(): void {
    const { random } = this.#options
    const unsynced = this.#forgetUnsynced()
    for (const write of unsynced) {
      if (random.chance(0.5)) {
        this.#put(write)
        continue
      }
      if (random.chance(0.5))
        this.#put({ ...write, records: write.records.slice(0, random.integer(0, write.records.length)) })
      return
    }
  }

  /** Nothing is there any more. */
  empty(): void {
    this.#forgetUnsynced()
    this.#first = 1
    this.#records = []
  }

  /** A bit of one record is another: what follows it cannot be told from something that is torn. */
  rot(): void {
    if (this.#records.length > 0)
      this.#records.length = this.#options.random.integer(0, this.#records.length - 1)
  }

  backUp(): void {
    this.#copy = { first: this.#first, records: [...this.#records] }
  }

  rollBack(): void {
    this.#forgetUnsynced()
    this.#first = this.#copy.first
    this.#records = [...this.#copy.records]
  }

  #sync(): void {
    if (this.#isSyncing || this.#unsynced.length === 0) return
    this.#isSyncing = true
    const { schedule, random, name, isFull, slowMs } = this.#options
    const life = this.#life
    if (isFull())
      return schedule.after(RETRY_MS, `${name} journals again`, () => {
        if (life === this.#life) this.#again()
      })
    const count = this.#unsynced.length
    schedule.after(0.2 + random.exponential(2) + slowMs(), `${name} journals`, () => {
      if (life !== this.#life) return
      const written = this.#unsynced.splice(0, count)
      for (const write of written) this.#put(write)
      const last = written.at(-1)
      this.#again()
      last?.done(last.write)
    })
  }

  #again(): void {
    this.#isSyncing = false
    this.#sync()
  }

  #put({ from, records }: JournalWrite): void {
    const end = this.#first + this.#records.length
    // where nothing stands right before it, the rest is of no use either
    if (from > end || from < this.#first) {
      this.#first = from
      this.#records = []
    }
    this.#records.length = from - this.#first
    this.#records.push(...records)
  }

  #forgetUnsynced(): ReadonlyArray<JournalWrite> {
    const unsynced = this.#unsynced
    this.#unsynced = []
    this.#isSyncing = false
    this.#life++
    return unsynced
  }
}
