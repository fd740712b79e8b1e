import type { ReplicaId } from "./ids.ts"

/** Where a vote stands. */
export type Standing =
  | { readonly _tag: "Waiting" }
  /** This many replicas, or more, made this same statement. */
  | { readonly _tag: "Decided"; readonly statement: string }
  /** Whatever the replicas say that can still say something, no camp can become large enough. */
  | { readonly _tag: "Impossible" }

/**
 * Counts the votes on one batch. Decides at `needed` equal statements of distinct replicas: with needed = f+1, at least one
 * of them is from a correct replica.
 *
 * A correct replica has one thing to say of one position of the log; a second, different statement about it is equivocation
 * and changes nothing. But a batch that was sent twice may stand at two positions, and the answer at the later one supersedes
 * the first (it can differ: that the first answer is no longer kept).
 */
export class Tally {
  readonly #needed: number
  readonly #replicas: ReadonlyArray<ReplicaId>
  readonly #votes = new Map<ReplicaId, string>()
  readonly #positions = new Map<ReplicaId, number>()
  #standing: Standing = WAITING

  constructor(options: { readonly needed: number; readonly replicas: ReadonlyArray<ReplicaId> }) {
    this.#needed = options.needed
    this.#replicas = options.replicas
  }

  get standing(): Standing {
    return this.#standing
  }

  /** What each replica said last, in order of arrival. */
  get votes(): ReadonlyMap<ReplicaId, string> {
    return this.#votes
  }

  /** Replicas that have not voted. */
  get missing(): ReadonlyArray<ReplicaId> {
    return this.#replicas.filter((replica) => !this.#votes.has(replica))
  }

  /** `position` is where in the log the statement says that the batch stands. */
  add(
    replica: ReplicaId,
    statement: string,
    position = 0,
  ): "counted" | "repeated" | "superseded" | "equivocated" | "stranger" {
    if (!this.#replicas.includes(replica)) return "stranger"
    const earlier = this.#votes.get(replica)
    if (earlier === statement) return "repeated"
    const before = this.#positions.get(replica)
    if (before !== undefined && position < before) return "superseded"
    if (before === position) return "equivocated"
    // once it is decided, nothing that is said later undoes it
    if (before !== undefined && this.#standing._tag === "Decided") return "superseded"
    this.#votes.set(replica, statement)
    this.#positions.set(replica, position)
    if (this.#standing._tag !== "Decided") this.#standing = this.#judge(statement)
    return "counted"
  }

  #judge(latest: string): Standing {
    if (this.#count(latest) >= this.#needed) return { _tag: "Decided", statement: latest }
    for (const [replica, statement] of this.#votes)
      if (this.#couldReach(statement, this.#positions.get(replica) ?? 0) >= this.#needed) return WAITING
    const silent = this.#replicas.length - this.#votes.size
    return silent >= this.#needed ? WAITING : IMPOSSIBLE
  }

  #count(statement: string): number {
    let equal = 0
    for (const other of this.#votes.values()) if (other === statement) equal++
    return equal
  }

  /** How many may come to say this: those who do, those who are silent, and those who spoke of an earlier position. */
  #couldReach(statement: string, position: number): number {
    let possible = this.#replicas.length - this.#votes.size
    for (const [replica, other] of this.#votes)
      if (other === statement || (this.#positions.get(replica) ?? 0) < position) possible++
    return possible
  }
}

const WAITING: Standing = { _tag: "Waiting" }
const IMPOSSIBLE: Standing = { _tag: "Impossible" }
