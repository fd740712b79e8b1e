import type { Digest, PeerReport, ReplicaId } from "@lockstep/core"

/** How many of the last positions a replica remembers its chain at. */
const REMEMBERED = 1024

/**
 * Compares this replica's chain with what its peers report. One peer may lie; of f+1 that report another chain, at least one
 * is correct, and has read another log.
 */
export class ForkDetector {
  readonly #needed: number
  /** By position modulo {@link REMEMBERED}. */
  readonly #chains: Array<Digest | undefined> = Array.from({ length: REMEMBERED })
  /** The latest report of each peer about a position that is not executed here yet. */
  readonly #ahead = new Map<ReplicaId, PeerReport>()
  /** Peers that read another log, and the first position where that showed. */
  readonly #differing = new Map<ReplicaId, number>()
  /** The position at which each peer was contradicted last. */
  readonly #contradicted = new Map<ReplicaId, number>()
  #applied = 0

  constructor(needed: number) {
    this.#needed = needed
  }

  /** An entry was executed. */
  executed(seq: number, chain: Digest): void {
    this.#applied = seq
    this.#chains[seq % REMEMBERED] = chain
    if (this.#ahead.size === 0) return
    for (const [peer, report] of this.#ahead)
      if (report.seq === seq) {
        this.#ahead.delete(peer)
        this.#compare(report)
      }
  }

  /** All peers are told where this replica is: whoever is contradicted from here on may be so once more, because messages may be lost. */
  told(): void {
    this.#contradicted.clear()
  }

  /**
   * A peer reported. What is too old to be remembered says nothing. Yields the chain here where it is another one, once for
   * each position until all are told again: the peer may be the one that is alone, and must hear of it to notice.
   */
  reported(report: PeerReport): { readonly seq: number; readonly chain: Digest } | undefined {
    const { replica, seq } = report
    if (seq > this.#applied) {
      // the first one is compared for sure; a later one may always be replaced before this replica gets there
      if (seq < (this.#ahead.get(replica)?.seq ?? Number.POSITIVE_INFINITY)) this.#ahead.set(replica, report)
      return undefined
    }
    if (seq <= this.#applied - REMEMBERED) return undefined
    const chain = this.#compare(report)
    if (chain === undefined || this.#contradicted.get(replica) === seq) return undefined
    this.#contradicted.set(replica, seq)
    return { seq, chain }
  }

  /** Only these count from here on. */
  retain(peers: ReadonlyArray<ReplicaId>): void {
    for (const known of [this.#ahead, this.#differing, this.#contradicted])
      for (const peer of known.keys()) if (!peers.includes(peer)) known.delete(peer)
  }

  /** Why this replica's log must have forked, if it must. */
  get verdict(): string | undefined {
    if (this.#differing.size < this.#needed) return undefined
    const peers = [...this.#differing].map(([peer, seq]) => `${peer} (at ${seq})`)
    return `${peers.join(", ")} executed another log than this replica`
  }

  /** Yields the chain here where it is another one. */
  #compare(report: PeerReport): Digest | undefined {
    const own = this.#chains[report.seq % REMEMBERED]
    if (own === undefined || own === report.chain) {
      this.#differing.delete(report.replica)
      return undefined
    }
    if (!this.#differing.has(report.replica)) this.#differing.set(report.replica, report.seq)
    return own
  }
}
