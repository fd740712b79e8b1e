import { decodeStatement, invariant, type ReplicaId, type Statement, type Vote } from "@lockstep/core"
import type { ClientOutput } from "../mode.ts"
import type { Ballot } from "./ballot.ts"

/** Decided batches that are remembered for the sake of votes that come late. */
const SETTLED_MAX = 1024

type Dissent = ClientOutput<never> & { readonly _tag: "Dissent" }
type Late = ClientOutput<never> & { readonly _tag: "Late" }

/** What the votes on decided batches were, those included that come late. */
export class Verdicts {
  /** Votes for what was decided. */
  matched = 0
  /** Votes for something else, by replica. */
  readonly dissents = new Map<ReplicaId, number>()
  /** Ballots that lack votes still. */
  readonly #open = new Map<number, Ballot>()

  /** A batch is decided: yields who voted for something else. */
  decided(number: number, ballot: Ballot): ReadonlyArray<Dissent> {
    this.matched += ballot.holders.length
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
    this.matched++
    return [late]
  }

  /** Others vote from here on: nobody is waited for. */
  adopt(): void {
    this.#open.clear()
  }

  #dissent(ballot: Ballot, replica: ReplicaId): Dissent {
    this.dissents.set(replica, (this.dissents.get(replica) ?? 0) + 1)
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

/** Forgets the oldest. */
export function dropFirst<Key>(map: Map<Key, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key)
    return
  }
}
