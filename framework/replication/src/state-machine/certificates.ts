import {
  type Attestation,
  decodeEnvelope,
  type Entry,
  Malformed,
  objectionTo,
  type ReplicaId,
  type Roster,
} from "@lockstep/core"
import { type Quorum, Stability, type StableCheckpoint } from "./stability.ts"

/** After so many ticks in which voters of an epoch spoke that is not known here, the roster is read again. */
const ROSTER_TICKS = 8

/** What the log says of checkpoints, for a replica that cannot execute it: f+1 attestations of one checkpoint certify it. */
export class Certificates {
  /** Where to read the log from: attestations are in what is left of it. */
  from: number
  readonly #quorum: Quorum
  readonly #stability: Stability
  #roster: Roster
  /** The one that counts from this position on. */
  #next: { readonly roster: Roster; readonly since: number } | undefined
  /** Somebody attested in a later epoch than is known here. */
  #isOutdated = false
  #outdatedTicks = 0

  /** `roster` is whose attestations count, as far as is known. */
  constructor(options: { readonly from: number; readonly roster: Roster; readonly quorum: Quorum }) {
    this.from = options.from
    this.#quorum = options.quorum
    this.#roster = options.roster
    this.#stability = new Stability(options.quorum, options.roster.voters)
  }

  /** The last checkpoint that enough replicas hold on their disks. */
  get durable(): StableCheckpoint | undefined {
    return this.#stability.durable
  }

  /**
   * Checkpoints that may be fetched: the last that replicas surely hold on their disks, and the last that they attest. The first is
   * the better one; but since then voters may have changed, and nobody hold enough shards of it any more.
   */
  get all(): ReadonlyArray<StableCheckpoint> {
    const { durable, stable } = this.#stability
    const known = durable?.seq === stable?.seq ? [durable] : [durable, stable]
    // the log must go on where the checkpoint ends; of an older one it may hold the attestations still
    return known.flatMap((certificate) =>
      certificate === undefined || certificate.seq + 1 < this.from ? [] : [certificate],
    )
  }

  /** Those who may have checkpoints: voters and standbys alike. */
  get holders(): ReadonlyArray<ReplicaId> {
    return [...this.#roster.voters, ...this.#roster.standbys]
  }

  /**
   * The log, once more: it is read from its beginning. Rosters of the past may be missing in it, so the current one is taken from
   * where operators write it down. Up to where it was stated the one before counts, if that is known here: its voters may have certified what those of the next one do not hold yet.
   */
  attached(from: number, roster: Roster, since: number | undefined): void {
    this.from = from
    this.#next = undefined
    if (roster.epoch <= this.#roster.epoch) return
    const isNext = roster.epoch === this.#roster.epoch + 1
    if (isNext && since !== undefined) this.#next = { roster, since }
    else this.#adopt(roster)
  }

  /** A tick: whether what the log states cannot be judged without a roster that it no longer holds. */
  needsRoster(): boolean {
    return this.#isOutdated && ++this.#outdatedTicks % ROSTER_TICKS === 0
  }

  /** Entries of the log, which are not executed: only what replicas attest is heard, and who may. */
  read(entries: ReadonlyArray<Entry>): void {
    for (const entry of entries) {
      if (this.#next !== undefined && entry.seq >= this.#next.since) this.#adopt(this.#next.roster)
      try {
        const envelope = decodeEnvelope(entry.payload)
        if (envelope._tag === "Reconfiguration") this.#follow(envelope.roster, entry.source)
        else if (envelope._tag === "Attestation" && entry.source === `replica.${envelope.replica}`)
          this.#hear(envelope)
      } catch (cause) {
        if (!(cause instanceof Malformed)) throw cause
      }
    }
  }

  #hear(attestation: Attestation): void {
    if (attestation.epoch > this.#roster.epoch) this.#isOutdated = true
    else if (attestation.epoch === this.#roster.epoch) this.#stability.hear(attestation)
  }

  #follow(next: Roster, source: string): void {
    const stated = { source, current: this.#roster, quorum: this.#quorum.votes }
    if (objectionTo(next, stated) === undefined) this.#adopt(next)
  }

  #adopt(roster: Roster): void {
    this.#roster = roster
    this.#next = undefined
    this.#isOutdated = false
    this.#stability.adopt(roster.voters)
  }
}
