import {
  type Answer,
  type ClientId,
  digest,
  encodeStatement,
  encodeVote,
  objectionTo,
  type Roster,
  type VoteSpans,
} from "@lockstep/core"
import type { Probation, ReplicaOptions, ReplicaRole } from "../mode.ts"

/** Outcomes up to this many bytes come from every replica; larger ones from one of them, and a digest from the rest. */
export const INLINE_BYTES_MAX = 64 * 1024

/**
 * Whether this replica may vote, and in which epoch. The log says so and nobody else: at one position all replicas have one
 * roster, whenever they get there.
 */
export class Mandate {
  readonly #options: ReplicaOptions
  /** How many voters a decision needs. */
  readonly quorum: number
  #roster: Roster
  #held: Roster | undefined
  #probation: Probation | undefined

  constructor(options: ReplicaOptions, quorum: number) {
    this.#options = options
    this.quorum = quorum
    this.#roster = options.roster
    this.#probation = options.probation
  }

  /** Undefined: it was never wrong. */
  get probation(): Probation | undefined {
    return this.#probation
  }

  /** f+1 others attest what it has computed. Whether that ends a probation. */
  confirm(): boolean {
    if (this.#probation !== "open") return false
    this.#probation = "passed"
    return true
  }

  /** Whether its votes and attestations are worth anything. */
  get maySpeak(): boolean {
    return this.isVoter && this.#probation !== "open"
  }

  /** The current one, at the last position that was executed. */
  get roster(): Roster {
    return this.#roster
  }

  /** A checkpoint that was taken in this roster is on the disk, if only a shard of it. */
  held(roster: Roster): void {
    this.#held = roster
  }

  /** The latest that is known here, also where what is on the disk does not suffice to begin with. */
  get latest(): Roster {
    return this.#held !== undefined && this.#held.epoch > this.#roster.epoch ? this.#held : this.#roster
  }

  get isVoter(): boolean {
    return this.#roster.voters.includes(this.#options.replica)
  }

  get role(): ReplicaRole {
    if (this.isVoter) return "voter"
    return this.#roster.standbys.includes(this.#options.replica) ? "standby" : "unlisted"
  }

  /** The log states another roster. False where it does not take effect. */
  follow(next: Roster, source: string): boolean {
    if (objectionTo(next, { source, current: this.#roster, quorum: this.quorum }) !== undefined) return false
    this.#roster = next
    return true
  }

  /** The roster of the checkpoint that the replica begins with. */
  restore(roster: Roster): void {
    this.#roster = roster
  }

  /**
   * The messages of this replica's vote on an answer; none where it has no vote. They bind the epoch in which they are cast, not
   * the one in which the batch was executed: so a client that follows a change of roster can have everything said once more.
   */
  vote(
    client: ClientId,
    answer: Answer,
    send: "designated" | "bytes",
    spans: VoteSpans | undefined,
  ): ReadonlyArray<Buffer> {
    if (!this.maySpeak) return []
    const { group, partition, replica } = this.#options
    const { epoch, voters } = this.#roster
    const { outcomes, ...rest } = answer
    const statement = encodeStatement({
      group,
      epoch,
      partition,
      client,
      ...rest,
      outcomes: digest(outcomes),
    })
    const sendsBytes =
      send === "bytes" ||
      outcomes.length <= INLINE_BYTES_MAX ||
      voters[answer.seq % voters.length] === replica
    return encodeVote(replica, statement, sendsBytes ? outcomes : undefined, spans)
  }
}
