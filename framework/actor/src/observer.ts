/** A command that its caller traces. */
export interface TracedCommand {
  /** What it hangs below: the W3C traceparent of what sent it, and perhaps lines that only who traces reads. */
  readonly trace: string
  readonly type: string
  readonly member: string
  readonly key: string
  /** Its position in the log; 0 where one replica executes, and it has none yet. */
  readonly seq: number
  /** When the log took it, milliseconds since 1970; undefined where it did not go through the log. */
  readonly orderedMs: number | undefined
  /** Where one replica executes: whether what it comes to is recorded. */
  readonly kind?: "command" | "query"
}

/** Watches commands that are traced while they run. It changes nothing of what they come to. */
export interface Observer {
  begin(command: TracedCommand): Observation
  /** A batch at this position of the log begins to be executed, whoever traces any of it. `orderedMs` is as in a `TracedCommand`. */
  batchBegins?(seq: number, orderedMs: number): void
  /** That batch was executed: the bytes of all its outcomes, and how many there are. They stay as they are. */
  batchEnds?(outcomes: Uint8Array, count: number): void
  /** Calls this once, at once: a command that nobody traces, and that is not guarded. */
  unseen<Result>(command: () => Result): Result
}

/** One command that runs. */
export interface Observation {
  /** Names what is told of it, for whoever traces; undefined where nothing is. No two replicas have the same. */
  readonly span: string | undefined
  /** Calls this once, at once, in the context of the command. */
  run<Result>(command: () => Result): Result
  /** The bytes of what it came to. */
  end(outcome: Uint8Array): void
}

/** Whether whoever sent it wants to see it: decided once, at the root. */
export function isSampled(trace: string): boolean {
  return (Number.parseInt(trace.slice(53, 55), 16) & 1) === 1
}
