import type { CheckpointChanges } from "./checkpoint.ts"

/** Changes of checkpoints that could not be kept, with those of the one that is to be kept next. */
export function together(overdue: CheckpointChanges | undefined, next: CheckpointChanges): CheckpointChanges {
  if (overdue === undefined) return next
  return {
    ...next,
    rows: new Map([...overdue.rows, ...next.rows]),
    buckets: new Map([...overdue.buckets, ...next.buckets]),
  }
}
