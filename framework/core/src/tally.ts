import type { ReplicaId } from "./ids.ts"

/** Where a vote stands. */
export type Standing =
  | { readonly _tag: "Waiting" }
  /** This many replicas, or more, made this same statement. */
  | { readonly _tag: "Decided"; readonly statement: string }
  /** Even if every replica that is still silent agreed with the largest camp, it would not be enough. */
  | { readonly _tag: "Impossible" }

/**
 * Counts the votes on one entry. Decides at `needed` equal statements of distinct replicas: with needed = f+1, at least
 * one of them is from a correct replica. A replica's first statement counts; a second, different one is equivocation
 * and changes nothing.
 */
export class Tally {
  readonly #needed: number
  readonly #replicas: ReadonlyArray<ReplicaId>
  readonly #votes = new Map<ReplicaId, string>()
  #standing: Standing = WAITING

  constructor(options: { readonly needed: number; readonly replicas: ReadonlyArray<ReplicaId> }) {
    this.#needed = options.needed
    this.#replicas = options.replicas
  }

  get standing(): Standing {
    return this.#standing
  }

  /** What each replica said, in order of arrival. */
  get votes(): ReadonlyMap<ReplicaId, string> {
    return this.#votes
  }

  /** Replicas that have not voted. */
  get missing(): ReadonlyArray<ReplicaId> {
    return this.#replicas.filter((replica) => !this.#votes.has(replica))
  }

  add(replica: ReplicaId, statement: string): "counted" | "repeated" | "equivocated" | "stranger" {
    if (!this.#replicas.includes(replica)) return "stranger"
    const earlier = this.#votes.get(replica)
    if (earlier !== undefined) return earlier === statement ? "repeated" : "equivocated"
    this.#votes.set(replica, statement)
    if (this.#standing._tag !== "Decided") this.#standing = this.#judge(statement)
    return "counted"
  }

  #judge(latest: string): Standing {
    if (this.#count(latest) >= this.#needed) return { _tag: "Decided", statement: latest }
    let largest = 0
    for (const statement of this.#votes.values()) largest = Math.max(largest, this.#count(statement))
    const silent = this.#replicas.length - this.#votes.size
    return largest + silent < this.#needed ? IMPOSSIBLE : WAITING
  }

  #count(statement: string): number {
    let equal = 0
    for (const other of this.#votes.values()) if (other === statement) equal++
    return equal
  }
}

const WAITING: Standing = { _tag: "Waiting" }
const IMPOSSIBLE: Standing = { _tag: "Impossible" }
