import type { Attestation, Digest, ReplicaId } from "@lockstep/core"

/** A checkpoint that f+1 replicas attested alike: at least one of them is correct, so it is right. */
export interface StableCheckpoint {
  readonly seq: number
  readonly chain: Digest
  readonly state: Digest
}

/** How many replicas are enough for what. */
export interface Quorum {
  /** Before one of those that say the same is surely correct: f+1 where replicas may lie, one elsewhere. */
  readonly votes: number
  /** Before something is surely still there when f of those that hold it are gone: f+1 of whole copies, f more than it takes of shards. */
  readonly holders: number
}

/** Positions that are remembered before they are stable: replicas that are far behind do not hold up the others. */
const PENDING_MAX = 16

/** Counts what replicas attest in the log. All replicas read the same, so all of them see a checkpoint become stable alike. */
export class Stability {
  readonly #quorum: Quorum
  #voters: ReadonlyArray<ReplicaId>
  /** By position; the first word of each voter counts. */
  readonly #said = new Map<number, Map<ReplicaId, Attestation>>()
  #stable: StableCheckpoint | undefined
  #durable: StableCheckpoint | undefined

  /** `votes` attestations certify, `holders` durable ones keep. */
  constructor(quorum: Quorum, voters: ReadonlyArray<ReplicaId>) {
    this.#quorum = quorum
    this.#voters = voters
  }

  /** The last checkpoint that f+1 replicas agree on. */
  get stable(): StableCheckpoint | undefined {
    return this.#stable
  }

  /** The last one of those that f+1 replicas have on their disks: nobody needs what the log holds before it. */
  get durable(): StableCheckpoint | undefined {
    return this.#durable
  }

  /** What this replica said of this position, as far as it is remembered. */
  said(seq: number, replica: ReplicaId): Attestation | undefined {
    return this.#said.get(seq)?.get(replica)
  }

  /** Others vote from here on. Words of two epochs never add up; what is certified stays so. */
  adopt(voters: ReadonlyArray<ReplicaId>): void {
    this.#voters = voters
    this.#said.clear()
  }

  hear(attestation: Attestation): void {
    const { replica, seq } = attestation
    if (!this.#voters.includes(replica) || seq < (this.#durable?.seq ?? 0)) return
    let said = this.#said.get(seq)
    if (said === undefined) this.#said.set(seq, (said = new Map()))
    const earlier = said.get(replica)
    // a replica may add that it is durable; it may not say something else
    if (earlier !== undefined && (!attestation.durable || !isSame(earlier, attestation))) return
    said.set(replica, attestation)
    const alike = this.#alike(attestation)
    const checkpoint = { seq, chain: attestation.chain, state: attestation.state }
    if (alike.length >= this.#quorum.votes && seq > (this.#stable?.seq ?? 0)) this.#stable = checkpoint
    if (
      alike.filter(({ durable }) => durable).length >= this.#quorum.holders &&
      seq > (this.#durable?.seq ?? 0)
    )
      this.#durable = checkpoint
    this.#forget(replica)
  }

  #alike(attestation: Attestation): ReadonlyArray<Attestation> {
    const said = this.#said.get(attestation.seq)?.values() ?? []
    return [...said].filter((other) => isSame(other, attestation))
  }

  /** Each voter has its own bound: a liar may name as many positions as it likes. */
  #forget(replica: ReplicaId): void {
    for (const seq of this.#said.keys()) if (seq < (this.#durable?.seq ?? 0)) this.#said.delete(seq)
    const own = [...this.#said].filter(([, words]) => words.has(replica))
    for (const [seq, words] of own.slice(0, Math.max(0, own.length - PENDING_MAX))) {
      words.delete(replica)
      if (words.size === 0) this.#said.delete(seq)
    }
  }
}

function isSame(a: Attestation, b: Attestation): boolean {
  return a.state === b.state && a.chain === b.chain
}
