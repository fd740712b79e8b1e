/** Batches that are remembered, at most. */
export const EXECUTIONS_MAX = 2048
/** Bytes of their outcomes, at most, of all of them. */
export const OUTCOME_BYTES_MAX = 4 * 1024 * 1024

/** One batch that was executed. Times are those of `performance.now()`. */
export interface RecentExecution {
  readonly count: number
  /** When the log took it, milliseconds since 1970. */
  readonly orderedMs: number
  readonly startMs: number
  readonly endMs: number
  /** The bytes of all its outcomes, where they are still kept: a view, until another execution is added. */
  readonly outcomes: Uint8Array | undefined
  /** Commands of it that somebody has told of, by index. */
  readonly told: Set<number>
}

type Executed = Omit<RecentExecution, "told"> & { readonly outcomes: Uint8Array }

/** The last batches that a replica has executed: enough to tell of one of their commands afterwards. */
export class RecentExecutions {
  readonly #seqs = new Float64Array(EXECUTIONS_MAX)
  readonly #counts = new Float64Array(EXECUTIONS_MAX)
  readonly #orderedMs = new Float64Array(EXECUTIONS_MAX)
  readonly #startMs = new Float64Array(EXECUTIONS_MAX)
  readonly #endMs = new Float64Array(EXECUTIONS_MAX)
  /**
   * Outcomes are copied into one buffer, which goes round. Keeping the buffers of the answers themselves cost a replica about a twentieth of its
   * processor time: their memory was long in use by then, and not used again.
   */
  readonly #outcomes = Buffer.allocUnsafeSlow(OUTCOME_BYTES_MAX)
  /** Where each one's outcomes begin, counted from the first byte that was ever written; −1 where they had no room. */
  readonly #starts = new Float64Array(EXECUTIONS_MAX)
  readonly #lengths = new Float64Array(EXECUTIONS_MAX)
  #written = 0
  readonly #told: Array<Set<number> | undefined> = Array.from({ length: EXECUTIONS_MAX })
  #added = 0

  add(seq: number, execution: Executed): void {
    const slot = this.#added++ % EXECUTIONS_MAX
    this.#seqs[slot] = seq
    this.#counts[slot] = execution.count
    this.#orderedMs[slot] = execution.orderedMs
    this.#startMs[slot] = execution.startMs
    this.#endMs[slot] = execution.endMs
    this.#starts[slot] = this.#write(execution.outcomes)
    this.#lengths[slot] = execution.outcomes.length
    this.#told[slot] = undefined
  }

  find(seq: number): RecentExecution | undefined {
    const slot = seq > 0 ? this.#seqs.indexOf(seq) : -1
    if (slot === -1) return undefined
    return {
      count: this.#counts[slot] ?? 0,
      orderedMs: this.#orderedMs[slot] ?? 0,
      startMs: this.#startMs[slot] ?? 0,
      endMs: this.#endMs[slot] ?? 0,
      outcomes: this.#outcomesOf(slot),
      told: (this.#told[slot] ??= new Set()),
    }
  }

  /** Where they begin. */
  #write(outcomes: Uint8Array): number {
    const { length } = outcomes
    if (length > OUTCOME_BYTES_MAX) return -1
    const left = OUTCOME_BYTES_MAX - (this.#written % OUTCOME_BYTES_MAX)
    const start = this.#written + (length > left ? left : 0) // each in one piece
    this.#outcomes.set(outcomes, start % OUTCOME_BYTES_MAX)
    this.#written = start + length
    return start
  }

  #outcomesOf(slot: number): Uint8Array | undefined {
    const [start, length] = [this.#starts[slot] ?? -1, this.#lengths[slot] ?? 0]
    if (start === -1 || this.#written - start > OUTCOME_BYTES_MAX) return undefined
    const at = start % OUTCOME_BYTES_MAX
    return this.#outcomes.subarray(at, at + length)
  }
}
