/**
 * One record of an ordered log, as the log's consensus fixed it: every replica sees the same bytes under the same seq.
 * Headers are not part of it: the server may rewrite them.
 */
export interface Entry {
  /** Position in the log, from 1, without gaps. */
  readonly seq: number
  /** The log leader's clock when it stored the entry, nanoseconds since 1970. May go back from entry to entry. */
  readonly timeNs: bigint
  /**
   * Who wrote it: the end of the subject that it was published on, `client.<id>`, `replica.<id>` or `operator`. As trustworthy as the
   * servers' permissions.
   */
  readonly source: string
  readonly payload: Uint8Array
}
