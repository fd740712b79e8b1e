import { invariant } from "@lockstep/core"
import type { Span } from "./message.ts"
import type { JournalRecord } from "./record.ts"

/** A record, and its bytes as they are shipped and kept. */
export interface Written {
  readonly record: JournalRecord
  readonly bytes: Buffer
}

/** A record in memory. */
interface Kept {
  /** Until it is settled: its bytes are a tenth of it. */
  record: JournalRecord | undefined
  readonly bytes: Buffer
}

/** Spans that are remembered: replicas that have none of them in common need a checkpoint. */
const SPANS_MAX = 64

/** The records that a replica has, as far as they are in memory: the last ones, back to a checkpoint. */
export class History {
  /** Records up to here are not in memory. */
  #before: number
  #records: Array<Kept> = []
  #spans: ReadonlyArray<Span>

  /** Begins after this position, whose records were made in these spans. */
  constructor(before = 0, spans: ReadonlyArray<Span> = []) {
    this.#before = before
    this.#spans = spans
  }

  /** The last position; 0 before the first. */
  get last(): number {
    return this.#before + this.#records.length
  }

  /** The epoch of the last record; 0 before the first. */
  get lastEpoch(): number {
    return this.#spans.at(-1)?.epoch ?? 0
  }

  /** The first position that is in memory, or would be. */
  get first(): number {
    return this.#before + 1
  }

  get spans(): ReadonlyArray<Span> {
    return this.#spans
  }

  /** The spans of the history up to this position. */
  spansUpTo(position: number): ReadonlyArray<Span> {
    const spans: Array<Span> = []
    let start = 0
    for (const { epoch, last } of this.#spans) {
      if (start >= position) break
      spans.push({ epoch, last: Math.min(last, position) })
      start = last
    }
    return spans
  }

  /** The record at this position, if it is in memory and not settled. */
  at(position: number): JournalRecord | undefined {
    return this.#kept(position)?.record
  }

  /** Nobody will ask what is in the record any more: only its bytes are kept. Yields it; undefined where that was settled already. */
  settle(position: number): Written | undefined {
    const kept = this.#kept(position)
    if (kept?.record === undefined) return undefined
    const { record, bytes } = kept
    kept.record = undefined
    return { record, bytes }
  }

  append({ record, bytes }: Written): void {
    const { position, epoch } = record
    invariant(position === this.last + 1, "records have no gaps")
    invariant(epoch >= this.lastEpoch, "epochs do not go back")
    this.#records.push({ record, bytes })
    const kept = this.lastEpoch === epoch ? this.#spans.slice(0, -1) : this.#spans.slice(1 - SPANS_MAX)
    this.#spans = [...kept, { epoch, last: position }]
  }

  /** The bytes of records from this position on, of about so many bytes. */
  from(position: number, bytesMax: number): ReadonlyArray<Buffer> {
    const taken: Array<Buffer> = []
    let size = 0
    for (let at = position; at <= this.last && size < bytesMax; at++) {
      const bytes = this.#kept(at)?.bytes
      if (bytes === undefined) break
      taken.push(bytes)
      size += bytes.length
    }
    return taken
  }

  /** Lets go of all records above this position. */
  truncate(position: number): void {
    invariant(position >= this.#before, "what is in a checkpoint is not truncated")
    this.#records.length = Math.min(this.#records.length, position - this.#before)
    this.#spans = this.spansUpTo(position)
  }

  /** Records up to here are no longer needed in memory. */
  trim(upTo: number): void {
    const count = Math.min(upTo, this.last) - this.#before
    if (count <= 0) return
    this.#records.splice(0, count)
    this.#before += count
  }

  /**
   * How far this history is that of another replica, by the spans of that one: records of one epoch were made by one primary. Undefined
   * where nobody remembers so far back.
   */
  agreement(others: ReadonlyArray<Span>): number | undefined {
    for (const [i, { epoch, last }] of [...this.#spans.entries()].toReversed()) {
      const other = others.find((span) => span.epoch === epoch)
      if (other !== undefined) return Math.min(last, other.last)
      if (i === 0 && this.#spans.length === SPANS_MAX) return undefined
    }
    return others.length === SPANS_MAX && this.last > 0 ? undefined : 0
  }

  #kept(position: number): Kept | undefined {
    return this.#records[position - this.#before - 1]
  }
}
