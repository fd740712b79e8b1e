import type { ReplicaId } from "@lockstep/core"

/** A decision of replicas that vote, as it stands when it is made. */
export interface Decision {
  /** When the first vote came, by the shell's clock, milliseconds. */
  readonly firstVoteMs: number
  /** Who said what was decided. */
  readonly match: ReadonlyArray<ReplicaId>
  readonly dissent: ReadonlyArray<ReplicaId>
  readonly missing: ReadonlyArray<ReplicaId>
}
