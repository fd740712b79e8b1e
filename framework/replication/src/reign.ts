import type { ReplicaId } from "@lockstep/core"

/** Who is the single master, as the log says. */
export interface ReignReport {
  /** Counts masters, from 1. */
  readonly epoch: number
  readonly master: ReplicaId | undefined
  /** Replicas that surely hold all that was acknowledged, the master included. */
  readonly inSync: ReadonlyArray<ReplicaId>
  /** How many of the others must hold a write before it is acknowledged. */
  readonly acknowledgements: number
  /** Fewer than the class asks for: it allows that, and says so. */
  readonly degraded: boolean
  /** Where a master begins anew: the last position that it holds. */
  readonly position: number
  /** How many acknowledged positions may have been lost with the master before, at most. */
  readonly lossWindow: number
}

/** What a replica of a mode with a single master says of itself. */
export interface ReignStatus extends ReignReport {
  /** Whether this replica is the master, in the life that it is in. (An earlier life of it, that `master` may name, is not.) */
  readonly isMaster: boolean
  /** Whether nobody waits for it: it is not in sync, or it is the master, and there is nobody who could take over. */
  readonly mayLeave: boolean
  /** Whether it may answer reads by itself: nobody else can be the master. */
  readonly leased: boolean
  /** Positions that are acknowledged, as far as it knows. */
  readonly committed: number
  /** By how many positions each in-sync backup is behind the master. Only the master knows. */
  readonly lag: ReadonlyMap<ReplicaId, number>
  /** Positions of this replica that a later master did not have, and that it let go of. */
  readonly truncated: number
  /** Commands that were acknowledged while degraded. */
  readonly degradedCommands: number
  /** Masters that were elected since this replica began because the one before was silent. */
  readonly failovers: number
  /** How many more replicas may fail before writes are refused, or nobody is left, by whom the master has heard of lately. Only the master knows. */
  readonly margin: number | undefined
}
