import {
  decodeOutcomes,
  digest,
  type Digest,
  type Outcome,
  type ReplicaId,
  splitOutcomes,
  type Standing,
  type Statement,
  Tally,
  type Testimony,
  type Vote,
  type VoteSpans,
} from "@lockstep/core"
import type { Decision } from "../decision.ts"
import type { Heard } from "./inbox.ts"

/**
 * The votes on one batch, and the bytes that came with them. A statement holds only a digest of the outcomes: the bytes are
 * believed when they have that digest, whoever sent them.
 */
export class Ballot {
  readonly #needed: number
  readonly #count: number
  readonly #tally: Tally
  /** What the texts of votes say: they are read once. */
  readonly #statements = new Map<string, Statement>()
  readonly #bodies = new Map<ReplicaId, Body>()
  readonly #spans = new Map<ReplicaId, VoteSpans>()
  #outcomes: Buffer | undefined
  #firstVoteMs = 0

  constructor(options: {
    readonly needed: number
    readonly replicas: ReadonlyArray<ReplicaId>
    readonly count: number
  }) {
    this.#needed = options.needed
    this.#count = options.count
    this.#tally = new Tally(options)
  }

  get standing(): Standing {
    return this.#tally.standing
  }

  get missing(): ReadonlyArray<ReplicaId> {
    return this.#tally.missing
  }

  /** At least one correct replica has executed the batch: so the log holds it. */
  get ordered(): boolean {
    return this.#tally.votes.size >= this.#needed
  }

  add({ vote, statement }: Heard, nowMs = 0): ReturnType<Tally["add"]> {
    if (this.#tally.votes.size === 0) this.#firstVoteMs = nowMs
    const result = this.#tally.add(vote.replica, vote.statement, statement.seq)
    if (result !== "counted" && result !== "repeated") return result
    // one object for each text: it may have been read more than once
    if (!this.#statements.has(vote.statement)) this.#statements.set(vote.statement, statement)
    if (vote.parts > 0) this.#collect(vote)
    if (vote.spans !== undefined) this.#spans.set(vote.replica, vote.spans)
    return result
  }

  /** What is decided. */
  get statement(): Statement | undefined {
    const { standing } = this.#tally
    return standing._tag === "Decided" ? this.#statements.get(standing.statement) : undefined
  }

  /** What this replica said last. */
  saidBy(replica: ReplicaId): Statement | undefined {
    return this.#statements.get(this.#tally.votes.get(replica) ?? "")
  }

  /** The bytes of the decided outcomes, once somebody has sent them. */
  get decided(): Buffer | undefined {
    if (this.#outcomes !== undefined) return this.#outcomes
    const wanted = this.statement?.outcomes
    if (wanted === undefined) return undefined
    for (const [replica, body] of this.#bodies) {
      if (this.saidBy(replica) !== this.statement) continue
      const bytes = body.whole()
      if (bytes === undefined) continue
      if (digest(bytes) === wanted) return (this.#outcomes = bytes)
      this.#bodies.delete(replica)
    }
    return undefined
  }

  /** Replicas that voted for the decision, and so hold its bytes. */
  get holders(): ReadonlyArray<ReplicaId> {
    const standing = this.#tally.standing
    if (standing._tag !== "Decided") return []
    const holders: Array<ReplicaId> = []
    for (const [replica, said] of this.#tally.votes) if (said === standing.statement) holders.push(replica)
    return holders
  }

  /** How the vote stands, and since when. */
  get decision(): Decision {
    const match = this.holders
    const dissent = match.length === this.#tally.votes.size ? NOBODY : this.#dissenters(match)
    return { firstVoteMs: this.#firstVoteMs, match, dissent, missing: this.missing, spans: this.#spans }
  }

  #dissenters(match: ReadonlyArray<ReplicaId>): ReadonlyArray<ReplicaId> {
    return [...this.#tally.votes.keys()].filter((replica) => !match.includes(replica))
  }

  /** The commands whose outcomes this replica said otherwise, by index; none where its bytes did not come. */
  differing(replica: ReplicaId): ReadonlyArray<number> {
    const [said, decided] = [this.#bodies.get(replica)?.whole(), this.decided]
    const statement = this.saidBy(replica)
    if (said === undefined || decided === undefined || statement === undefined) return []
    if (digest(said) !== statement.outcomes) return []
    try {
      const right = splitOutcomes(decided, this.#count)
      return splitOutcomes(said, this.#count).flatMap((bytes, index) =>
        right[index]?.equals(bytes) === true ? [] : [index],
      )
    } catch {
      return [] // a liar may send anything
    }
  }

  /** What each replica said of one command of the batch. */
  testimonies(index: number): ReadonlyArray<Testimony> {
    return [...this.#tally.votes.keys()].flatMap((replica) => {
      const statement = this.saidBy(replica)
      if (statement === undefined) return []
      const { seq, outcomes } = statement
      return [{ replica, seq, digest: outcomes, outcome: this.#outcomeOf(replica, outcomes, index) }]
    })
  }

  #outcomeOf(replica: ReplicaId, wanted: Digest, index: number): Outcome | undefined {
    const bytes = this.#bodies.get(replica)?.whole()
    if (bytes === undefined || digest(bytes) !== wanted) return undefined
    try {
      return decodeOutcomes(bytes, this.#count)[index]
    } catch {
      return undefined // a liar may send anything
    }
  }

  #collect(vote: Vote): void {
    let body = this.#bodies.get(vote.replica)
    if (body === undefined || body.parts !== vote.parts)
      this.#bodies.set(vote.replica, (body = new Body(vote.parts)))
    body.add(vote.part, vote.bytes)
  }
}

const NOBODY: ReadonlyArray<never> = []

/** The outcomes' bytes as one replica sent them, perhaps in several messages. */
class Body {
  readonly parts: number
  readonly #received: Array<Buffer | undefined> = []
  #missing: number

  constructor(parts: number) {
    this.parts = parts
    this.#missing = parts
  }

  add(part: number, bytes: Buffer): void {
    if (this.#received[part] === undefined) this.#missing--
    this.#received[part] = bytes
  }

  whole(): Buffer | undefined {
    if (this.#missing > 0) return undefined
    const [only] = this.#received
    return this.parts === 1 ? only : Buffer.concat(this.#received as ReadonlyArray<Buffer>) // none is missing
  }
}
