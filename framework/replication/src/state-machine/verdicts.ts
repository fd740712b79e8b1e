import { decodeStatement, invariant, type ReplicaId, type Statement, type Vote } from "@lockstep/core"
import type { ClientCounts, ClientOutput } from "../mode.ts"
import type { Ballot } from "./ballot.ts"
import { Owed } from "./owed.ts"
import type { Quorum } from "./pending.ts"

/** Decided batches that are remembered for the sake of votes that come late. */
const SETTLED_MAX = 1024

type Dissent = ClientOutput<never> & { readonly _tag: "Dissent" }
type Late = ClientOutput<never> & { readonly _tag: "Late" }

/** What the votes on decided batches were, those included that come late. */
export class Verdicts {
  /** Votes for what was decided, by replica. */
  readonly #matches = new Map<ReplicaId, number>()
  /** Votes for something else. */
  readonly #dissents = new Map<ReplicaId, number>()
  readonly #owed = new Owed()
  /** Ballots that lack votes still. */
  readonly #open = new Map<number, Ballot>()

  get counts(): Pick<ClientCounts, "matched" | "matches" | "dissents"> {
    let matched = 0
    for (const count of this.#matches.values()) matched += count
    return { matched, matches: this.#matches, dissents: this.#dissents }
  }

  /** How many more voters may fail, of those who have done their part of what was decided. */
  margin(quorum: Quorum, nowMs: number): number | undefined {
    return this.#owed.margin(quorum, nowMs)
  }

  /** A batch is decided: yields who voted for something else. */
  decided(number: number, ballot: Ballot, nowMs: number): ReadonlyArray<Dissent> {
    for (const replica of ballot.holders) this.#match(replica)
    this.#owed.decided(ballot.missing, nowMs)
    const dissents = ballot.dissents().map(({ replica }) => this.#dissent(ballot, replica))
    if (ballot.missing.length > 0) this.#open.set(number, ballot)
    if (this.#open.size > SETTLED_MAX) dropFirst(this.#open)
    return dissents
  }

  /** A vote came late. */
  late({ number, seq }: Statement, vote: Vote): ReadonlyArray<Dissent | Late> {
    const ballot = this.#open.get(number)
    if (ballot === undefined || ballot.standing._tag !== "Decided") return []
    if (ballot.add(vote, seq) !== "counted") return []
    if (ballot.missing.length === 0) this.#open.delete(number)
    const { replica, spans } = vote
    const isMatch = vote.statement === ballot.standing.statement
    const { seq: decidedAt } = decodeStatement(ballot.standing.statement)
    const late: Late = { _tag: "Late", replica, seq: decidedAt, isMatch, spans }
    if (!isMatch) return [late, this.#dissent(ballot, replica)]
    this.#match(replica)
    return [late]
  }

  /** Others vote from here on: nobody is waited for. */
  adopt(): void {
    this.#open.clear()
    this.#owed.clear()
  }

  #match(replica: ReplicaId): void {
    countOne(this.#matches, replica)
    this.#owed.matched(replica)
  }

  #dissent(ballot: Ballot, replica: ReplicaId): Dissent {
    countOne(this.#dissents, replica)
    this.#owed.differed(replica)
    const { standing } = ballot
    const actual = ballot.votes.get(replica)
    invariant(standing._tag === "Decided" && actual !== undefined, "who dissents differs from a decision")
    const { seq, outcomes: expected } = decodeStatement(standing.statement)
    return {
      _tag: "Dissent",
      replica,
      seq,
      expected,
      actual: decodeStatement(actual).outcomes,
      differing: () => ballot.differing(replica),
    }
  }
}

function countOne(counts: Map<ReplicaId, number>, replica: ReplicaId): void {
  counts.set(replica, (counts.get(replica) ?? 0) + 1)
}

/** Forgets the oldest. */
export function dropFirst<Key>(map: Map<Key, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key)
    return
  }
}
