/** How long the last executed entry may take to come once more after an attachment, before the log is asked again. */
export const OVERLAP_WAIT_MS = 2000
/** So many attachments in a row must show a log that ends too early before it is judged: stream info may be stale. */
export const LOST_TAIL_ATTACHMENTS = 3

/**
 * After an attachment the last executed entry must come once more. Where it does not, the log is asked again; it is judged only
 * when it was there each time, and each time said that it ends before that entry. (A log that cannot be reached, or delivers
 * nothing, has lost nothing.)
 */
export class Overlap {
  #sinceMs: number | undefined
  /** The log was there, and said that it ends before the entry. */
  #endsTooEarly = false
  /** Attachments in a row that said so, and after which the entry did not come. */
  #missed = 0
  /** Attachments in a row after which a later entry came than the next one, and the last one that was executed then. */
  #gap = { attachments: 0, after: -1 }

  /** The entry has not come yet. */
  get isAwaited(): boolean {
    return this.#sinceMs !== undefined
  }

  attached(log: { readonly lastSeq: number; readonly nowMs: number }, applied: number): void {
    if (applied === 0) return
    this.#sinceMs = log.nowMs
    this.#endsTooEarly = log.lastSeq < applied
  }

  arrived(): void {
    this.#sinceMs = undefined
    this.#missed = 0
  }

  /** Another server is attached to next: what this one said counts for nothing there. */
  forget(): void {
    this.#missed = 0
    this.#gap = { attachments: 0, after: -1 }
  }

  /**
   * A later entry came than the next one. A reader that the log's truncation has overtaken is moved on without a word: the log
   * says so when it is attached to again. One that says each time that it holds what it does not deliver is broken.
   */
  skipped(applied: number): "reattach" | "lost" {
    const attachments = this.#gap.after === applied ? this.#gap.attachments + 1 : 1
    this.#gap = { attachments, after: applied }
    return attachments < LOST_TAIL_ATTACHMENTS ? "reattach" : "lost"
  }

  tick(nowMs: number): "wait" | "reattach" | "lost" {
    if (this.#sinceMs === undefined || nowMs - this.#sinceMs < OVERLAP_WAIT_MS) return "wait"
    this.#missed = this.#endsTooEarly ? this.#missed + 1 : 0
    if (this.#missed >= LOST_TAIL_ATTACHMENTS) return "lost"
    this.#sinceMs = nowMs
    this.#endsTooEarly = false
    return "reattach"
  }
}
