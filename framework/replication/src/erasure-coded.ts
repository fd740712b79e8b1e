import { ErasureCode } from "@lockstep/core"

/** How a checkpoint is kept by the replicas: as a whole copy by each, or as one shard of a code by each. */
export interface Coding {
  /** Shards that restore a checkpoint. */
  readonly data: number
  /** Shards that may be missing, or wrong. */
  readonly parity: number
}

/**
 * Spreads checkpoints over the replicas as Reed–Solomon shards, one per replica: any `data` of the `data` + `parity` shards restore
 * one. Together the disks hold (data + parity) / data times the state, instead of one copy each. What it costs: a replica that starts
 * again needs `data` others (or itself and `data` − 1) to get its state back, all actors are in memory, and the log is truncated only
 * behind checkpoints of which data + f shards are on disks. (Reed and Solomon 1960; Plank 1997.)
 *
 * Throws RangeError for numbers that no code has.
 */
export function erasureCoded(options: { readonly data: number; readonly parity: number }): Coding {
  const { data, parity } = new ErasureCode(options)
  if (data < 2)
    throw new RangeError(`data must be at least 2, not ${data}: one shard that restores all is a copy`)
  return Object.freeze({ data, parity })
}
