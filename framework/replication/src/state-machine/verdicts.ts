import { FifoMap, invariant, type ReplicaId } from "@lockstep/core"
import type { ClientCounts, ClientOutput } from "../mode.ts"
import type { Decision } from "../decision.ts"
import type { Ballot } from "./ballot.ts"
import type { Heard } from "./inbox.ts"
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
  readonly #open = new FifoMap<Ballot>()

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
  decided(
    { number, ballot }: { readonly number: number; readonly ballot: Ballot },
    { match, dissent, missing }: Decision,
    nowMs: number,
  ): ReadonlyArray<Dissent> {
    for (const replica of match) this.#match(replica)
    this.#owed.decided(missing, nowMs)
    if (missing.length > 0) this.#open.set(number, ballot)
    if (this.#open.size > SETTLED_MAX) this.#open.shift()
    return dissent.map((replica) => this.#dissent(ballot, replica))
  }

  /** A vote came late. */
  late(heard: Heard): ReadonlyArray<Dissent | Late> {
    const { number } = heard.statement
    const ballot = this.#open.get(number)
    const decided = ballot?.statement
    if (ballot === undefined || decided === undefined) return []
    if (ballot.add(heard) !== "counted") return []
    if (ballot.missing.length === 0) this.#open.delete(number)
    const { replica, spans } = heard.vote
    const isMatch = ballot.saidBy(replica) === decided
    const late: Late = { _tag: "Late", replica, seq: decided.seq, isMatch, spans }
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
    const [decided, said] = [ballot.statement, ballot.saidBy(replica)]
    invariant(decided !== undefined && said !== undefined, "who dissents differs from a decision")
    return {
      _tag: "Dissent",
      replica,
      seq: decided.seq,
      expected: decided.outcomes,
      actual: said.outcomes,
      differing: () => ballot.differing(replica),
    }
  }
}

function countOne(counts: Map<ReplicaId, number>, replica: ReplicaId): void {
  counts.set(replica, (counts.get(replica) ?? 0) + 1)
}
