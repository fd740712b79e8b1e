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
  /** The bytes of all its outcomes, where they are still kept. */
  readonly outcomes: Uint8Array | undefined
  /** Commands of it that somebody has told of, by index. */
  readonly told: Set<number>
}

/** The last batches that a replica has executed: enough to tell of one of their commands afterwards. */
export class RecentExecutions {
  readonly #seqs = new Float64Array(EXECUTIONS_MAX)
  readonly #counts = new Float64Array(EXECUTIONS_MAX)
  readonly #orderedMs = new Float64Array(EXECUTIONS_MAX)
  readonly #startMs = new Float64Array(EXECUTIONS_MAX)
  readonly #endMs = new Float64Array(EXECUTIONS_MAX)
  readonly #outcomes: Array<Uint8Array | undefined> = Array.from({ length: EXECUTIONS_MAX })
  readonly #told: Array<Set<number> | undefined> = Array.from({ length: EXECUTIONS_MAX })
  #added = 0
  /** As many, from the first on, have no outcomes any more. */
  #trimmed = 0
  #bytes = 0

  add(seq: number, execution: Omit<RecentExecution, "told">): void {
    const slot = this.#added++ % EXECUTIONS_MAX
    this.#bytes -= this.#outcomes[slot]?.length ?? 0
    this.#seqs[slot] = seq
    this.#counts[slot] = execution.count
    this.#orderedMs[slot] = execution.orderedMs
    this.#startMs[slot] = execution.startMs
    this.#endMs[slot] = execution.endMs
    this.#outcomes[slot] = execution.outcomes
    this.#told[slot] = undefined
    this.#bytes += execution.outcomes?.length ?? 0
    this.#trimmed = Math.max(this.#trimmed, this.#added - EXECUTIONS_MAX)
    while (this.#bytes > OUTCOME_BYTES_MAX) {
      const oldest = this.#trimmed++ % EXECUTIONS_MAX
      this.#bytes -= this.#outcomes[oldest]?.length ?? 0
      this.#outcomes[oldest] = undefined
    }
  }

  find(seq: number): RecentExecution | undefined {
    const slot = seq > 0 ? this.#seqs.indexOf(seq) : -1
    if (slot === -1) return undefined
    return {
      count: this.#counts[slot] ?? 0,
      orderedMs: this.#orderedMs[slot] ?? 0,
      startMs: this.#startMs[slot] ?? 0,
      endMs: this.#endMs[slot] ?? 0,
      outcomes: this.#outcomes[slot],
      told: (this.#told[slot] ??= new Set()),
    }
  }
}
