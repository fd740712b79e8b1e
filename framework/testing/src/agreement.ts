import type { ReplicaStatus } from "@lockstep/replication"

/** The state is digested at every position that this divides. */
const DIGEST_EVERY = 32

/** What correct replicas have at one position of the log, and whether they all have the same. */
export class Agreement {
  /** Where they do not. */
  readonly disagreements: Array<string> = []
  readonly #chains = new Map<number, string>()
  /** Who votes, by epoch. */
  readonly #voters = new Map<number, string>()
  readonly #digests = new Map<number, string>()
  readonly #checkpoints = new Map<number, string>()
  /** The last checkpoint of each replica that may be wrong. */
  readonly #suspects = new Map<number, { readonly seq: number; readonly state: string }>()

  /** Replicas whose last checkpoint is not what it is on correct replicas, and its position. */
  get wrong(): ReadonlyArray<readonly [index: number, seq: number]> {
    return [...this.#suspects].flatMap(([index, { seq, state }]) => {
      const right = this.#checkpoints.get(seq)
      return right === undefined || right === state ? [] : [[index, seq] as const]
    })
  }

  /** A checkpoint of a replica that may be wrong. */
  suspect(index: number, seq: number, state: string): void {
    this.#suspects.set(index, { seq, state })
  }

  /** Correct replicas take, and fetch, one checkpoint at one position. */
  checkpoint(seq: number, state: string): void {
    const known = this.#checkpoints.get(seq)
    if (known === undefined) this.#checkpoints.set(seq, state)
    else if (known !== state) this.disagreements.push(`the checkpoint at ${seq}`)
  }

  /** Correct replicas have one chain at one position, and one roster in one epoch. */
  log({ applied: seq, chain, roster }: ReplicaStatus): void {
    const known = this.#chains.get(seq)
    const said = `${chain} in ${roster.epoch}`
    if (known === undefined) this.#chains.set(seq, said)
    else if (known !== said) this.disagreements.push(`the chain, or the epoch, at ${seq}`)
    const voters = roster.voters.join()
    const others = this.#voters.get(roster.epoch)
    if (others === undefined) this.#voters.set(roster.epoch, voters)
    else if (others !== voters) this.disagreements.push(`who votes in epoch ${roster.epoch}`)
  }

  /** Where the log alone says what they do, they have one state at one position. */
  state(status: ReplicaStatus): void {
    const { applied: seq } = status
    if (seq % DIGEST_EVERY !== 0) return
    const digest = status.stateDigest()
    const knownDigest = this.#digests.get(seq)
    if (knownDigest === undefined) this.#digests.set(seq, digest)
    else if (knownDigest !== digest) this.disagreements.push(`the state at ${seq}`)
  }
}
