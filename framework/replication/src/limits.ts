/** Everything that waits has a bound. */
export interface ClientLimits {
  /** How long a call waits for its decision, milliseconds. */
  readonly deadlineMs: number
  /** Commands that wait or are in flight, at most. */
  readonly commandsMax: number
  /** Bytes of arguments that wait or are in flight, at most. */
  readonly bytesMax: number
  /** Batches in flight, at most. While there are so many, commands gather in larger batches. */
  readonly windowMax: number
  /** Commands in one batch, at most. */
  readonly batchCommandsMax: number
  /** Bytes of one batch, at most; a single command may have as many. */
  readonly batchBytesMax: number
  /** Undecided batches that are remembered after their deadline, so that they can be retried. */
  readonly undecidedMax: number
}

export const CLIENT_LIMITS: ClientLimits = {
  deadlineMs: 10_000,
  commandsMax: 65_536,
  bytesMax: 64 * 1024 * 1024,
  windowMax: 64,
  batchCommandsMax: 1024,
  batchBytesMax: 512 * 1024,
  undecidedMax: 64,
}
