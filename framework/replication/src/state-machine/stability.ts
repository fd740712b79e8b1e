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
  /** Before one of those that hold something surely still holds it: f+1. */
  readonly holders: number
}

/** Positions that are remembered before they are stable: replicas that are far behind do not hold up the others. */
const PENDING_MAX = 16

/** Counts what replicas attest in the log. All replicas read the same, so all of them see a checkpoint become stable alike. */
export class Stability {
  readonly #quorum: Quorum
  readonly #replicas: ReadonlyArray<ReplicaId>
  /** By position; the first word of each replica counts. */
  readonly #said = new Map<number, Map<ReplicaId, Attestation>>()
  #stable: StableCheckpoint | undefined
  #durable: StableCheckpoint | undefined

  /** `votes` attestations certify, `holders` durable ones keep. */
  constructor(quorum: Quorum, replicas: ReadonlyArray<ReplicaId>) {
    this.#quorum = quorum
    this.#replicas = replicas
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

  hear(attestation: Attestation): void {
    const { replica, seq } = attestation
    if (!this.#replicas.includes(replica) || seq < (this.#durable?.seq ?? 0)) return
    let said = this.#said.get(seq)
    if (said === undefined) this.#said.set(seq, (said = new Map()))
    const earlier = said.get(replica)
    // a replica may add that it is durable; it may not say something else
    if (earlier !== undefined && (!attestation.durable || !isSame(earlier, attestation))) return
    said.set(replica, attestation)
    const alike = this.#alike(attestation)
    if (alike.length >= this.#quorum.votes && seq > (this.#stable?.seq ?? 0))
      this.#stable = { seq, chain: attestation.chain, state: attestation.state }
    if (
      alike.filter(({ durable }) => durable).length >= this.#quorum.holders &&
      seq > (this.#durable?.seq ?? 0)
    )
      this.#durable = { seq, chain: attestation.chain, state: attestation.state }
    this.#forget()
  }

  #alike(attestation: Attestation): ReadonlyArray<Attestation> {
    const said = this.#said.get(attestation.seq)?.values() ?? []
    return [...said].filter((other) => isSame(other, attestation))
  }

  #forget(): void {
    for (const seq of this.#said.keys()) if (seq < (this.#durable?.seq ?? 0)) this.#said.delete(seq)
    for (const seq of this.#said.keys()) {
      if (this.#said.size <= PENDING_MAX) return
      this.#said.delete(seq)
    }
  }
}

function isSame(a: Attestation, b: Attestation): boolean {
  return a.state === b.state && a.chain === b.chain
}
