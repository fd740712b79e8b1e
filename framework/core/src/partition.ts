import { digest } from "./digest.ts"
import { Partition } from "./ids.ts"

/** The partition that an actor belongs to, for good: by a hash that is the same in every version and on every machine. */
export function partitionOf(
  actor: { readonly type: string; readonly key: string },
  partitions: number,
): Partition {
  if (partitions === 1) return Partition(0)
  return Partition(Number.parseInt(digest(`${actor.type}\0${actor.key}`).slice(0, 8), 16) % partitions)
}
