import {
  decodePeerReport,
  type Digest,
  encodePeerReport,
  Malformed,
  type PeerReport,
  type ReplicaId,
} from "@lockstep/core"
import type { ReplicaOptions } from "../mode.ts"
import type { Build } from "./build.ts"
import { ForkDetector } from "./fork.ts"
import type { Mandate } from "./mandate.ts"

/** After so many ticks without news, peers are told again where this replica is: reports may be lost. */
const TELL_AGAIN_TICKS = 10

/** What this replica and its peers tell each other of the logs that they read. */
export class Peers {
  readonly #options: ReplicaOptions
  readonly #mandate: Mandate
  readonly #build: Build
  readonly #votes: number
  readonly #fork: ForkDetector
  /** How far voters were when they were heard first after this replica had halted, and those who have gone on since. */
  readonly #heardFirst = new Map<ReplicaId, number>()
  readonly #goingOn = new Set<ReplicaId>()
  /** The position that peers were told of last. */
  #told = -1
  #ticksSinceTold = 0

  /** `votes` voters that say the same cannot all be wrong. */
  constructor(options: ReplicaOptions, mandate: Mandate, build: Build, votes: number) {
    this.#options = options
    this.#mandate = mandate
    this.#build = build
    this.#votes = votes
    this.#fork = new ForkDetector(votes)
  }

  /** Why this replica's log must have forked, if it must. */
  get verdict(): string | undefined {
    return this.#fork.verdict
  }

  executed(seq: number, chain: Digest): void {
    this.#fork.executed(seq, chain)
  }

  /** Those who vote no longer cannot accuse this replica of anything. */
  reconfigured(): void {
    this.#fork.retain(this.#mandate.roster.voters)
  }

  /** What to tell all peers now, if anything. An operator listens too, to see who is up and how far. */
  tick(applied: number, chain: Digest): Uint8Array | undefined {
    if (this.#told === applied && ++this.#ticksSinceTold < TELL_AGAIN_TICKS) return undefined
    this.#told = applied
    this.#ticksSinceTold = 0
    this.#fork.told()
    return this.#report(applied, chain)
  }

  /** A peer's report: what to answer, where this replica has read something else. */
  hear(from: string, bytes: Uint8Array): Uint8Array | "malformed" | undefined {
    const report = this.#understand(from, bytes)
    if (report === undefined) return "malformed"
    if (!this.#mandate.roster.voters.includes(report.replica)) return undefined
    const contradiction = this.#fork.reported(report)
    return contradiction && this.#report(contradiction.seq, contradiction.chain)
  }

  /**
   * Hears a report after this replica has halted at this position: whether f+1 voters go on. One counts that was heard twice, and was further the
   * second time: what was under way says nothing of who goes on. Where one voter would be enough, none is: each would believe the other.
   */
  goOn(from: string, bytes: Uint8Array, applied: number): boolean {
    const report = this.#understand(from, bytes)
    const isVoter = report !== undefined && this.#mandate.roster.voters.includes(report.replica)
    if (!isVoter || report.seq <= applied) return false
    const { replica, seq } = report
    const first = this.#heardFirst.get(replica)
    if (first === undefined) this.#heardFirst.set(replica, seq)
    else if (seq > first) this.#goingOn.add(replica)
    return this.#votes > 1 && this.#goingOn.size >= this.#votes
  }

  #report(seq: number, chain: Digest): Uint8Array | undefined {
    const { group, partition, replica } = this.#options
    const { epoch } = this.#mandate.roster
    const { schema } = this.#build
    const onProbation = this.#mandate.probation === "open"
    return encodePeerReport({ group, epoch, partition, replica, seq, chain, schema, onProbation })
  }

  /**
   * The report, if it is one, of a peer, under its own name, about this partition. Of any epoch: a log that forked may hide from
   * this replica that there is a later one.
   */
  #understand(from: string, bytes: Uint8Array): PeerReport | undefined {
    try {
      const report = decodePeerReport(bytes)
      const { group, partition, replica } = this.#options
      const isOurs = report.group === group && report.partition === partition
      const isPeer = report.replica === from && report.replica !== replica
      return isOurs && isPeer ? report : undefined
    } catch (cause) {
      if (cause instanceof Malformed) return undefined
      throw cause
    }
  }
}
