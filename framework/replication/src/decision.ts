import type { Digest, ReplicaId, VoteSpans } from "@lockstep/core"

/** A decision of replicas that vote, as it stands when it is made. */
export interface Decision {
  /** When the first vote came, by the shell's clock, milliseconds. */
  readonly firstVoteMs: number
  /** Who said what was decided. */
  readonly match: ReadonlyArray<ReplicaId>
  readonly dissent: ReadonlyArray<ReplicaId>
  readonly missing: ReadonlyArray<ReplicaId>
  /** Where those who voted tell of commands that are traced. Nothing is believed of it. */
  readonly spans: ReadonlyMap<ReplicaId, VoteSpans>
}

/** A vote on a batch that had been decided. */
export interface LateVote {
  readonly replica: ReplicaId
  /** Where the batch was executed, by what was decided. */
  readonly seq: number
  readonly isMatch: boolean
  /** As in a `Decision`. */
  readonly spans: VoteSpans | undefined
}

/** A replica voted for something else than what was decided. */
export interface Dissent {
  readonly replica: ReplicaId
  readonly seq: number
  readonly expected: Digest
  readonly actual: Digest
}
