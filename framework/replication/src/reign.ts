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

/** How a master came to be it. */
export interface Succession {
  /** `"hand-over"`: the one before named it. `"failover"`: that one did not. `"first"`: there was none before. */
  readonly cause: "first" | "hand-over" | "failover"
  /** The master before. */
  readonly before: ReplicaId | undefined
}

/** A master begins. `isMaster`: it is this replica, in the life that it is in. */
export interface ReignBegun extends ReignReport, Succession {
  readonly isMaster: boolean
}

/**
 * Why a replica is counted on no more. `"late"`: it is silent, or did not move on in time. `"restarted"`: another life of it was heard of. `"leaving"`: it
 * said so. `"removed"`: it has no vote any more. `"failover"`, `"hand-over"`: of another master, it is not known to hold everything.
 */
export type Departure = "late" | "restarted" | "leaving" | "removed" | "failover" | "hand-over"

/** What a master tells operators of its reign. */
export type ReignNotice =
  /** Others are in sync from here on; the log says so. */
  | ({
      readonly event: "in-sync"
      readonly joined: ReadonlyArray<ReplicaId>
      readonly left: ReadonlyArray<{ readonly replica: ReplicaId; readonly reason: Departure }>
    } & Pick<ReignReport, "epoch" | "inSync" | "acknowledgements" | "degraded">)
  /**
   * It answers everything from here on: nobody else can be the master, and what the one before has acknowledged is acknowledged by this one. `silentMs`: so
   * long ago it heard of a master for the last time, or, where it heard of none, wanted to be it.
   */
  | ({ readonly event: "serves"; readonly silentMs: number } & Succession &
      Pick<ReignReport, "epoch" | "lossWindow">)

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
