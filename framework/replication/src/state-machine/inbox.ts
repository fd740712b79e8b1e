import {
  decodeStatement,
  decodeVote,
  Malformed,
  type Roster,
  type Statement,
  type Vote,
} from "@lockstep/core"
import type { ClientOptions } from "../mode.ts"

/** Statements that are remembered: replicas that agree send the same one. */
const REMEMBERED = 2048

/** A vote that concerns this client. */
export interface Heard {
  readonly vote: Vote
  readonly statement: Statement
}

/** Reads what arrives on the votes' subjects, where anybody may write anything. */
export class Inbox {
  readonly #options: Pick<ClientOptions, "client" | "group" | "partition">
  readonly #statements = new Map<string, Statement>()
  #roster: Roster

  constructor(options: Pick<ClientOptions, "client" | "group" | "partition" | "roster">) {
    this.#options = options
    this.#roster = options.roster
  }

  /** Others vote from here on. */
  adopt(roster: Roster): void {
    this.#roster = roster
    this.#statements.clear()
  }

  /**
   * The vote, if it is one, of a voter, under its own name, in this epoch, about this group, log and client. `"later"`: somebody
   * votes in an epoch that is not known here. Nothing is believed for it: a replica that is fenced may claim any epoch.
   */
  read(from: string, bytes: Uint8Array): Heard | "later" | undefined {
    try {
      const vote = decodeVote(bytes)
      if (vote.replica !== from) return undefined
      const statement = this.#statements.get(vote.statement) ?? this.#understand(vote.statement)
      if (statement === undefined) return undefined
      if (statement.epoch > this.#roster.epoch) return "later"
      const counts = statement.epoch === this.#roster.epoch && this.#roster.voters.includes(vote.replica)
      return counts ? { vote, statement } : undefined
    } catch (cause) {
      if (cause instanceof Malformed) return undefined
      throw cause
    }
  }

  #understand(text: string): Statement | undefined {
    const statement = decodeStatement(text)
    const { group, partition, client } = this.#options
    const isOurs =
      statement.group === group && statement.partition === partition && statement.client === client
    if (!isOurs) return undefined
    this.#statements.set(text, statement)
    if (this.#statements.size > REMEMBERED) this.#forgetOldest()
    return statement
  }

  #forgetOldest(): void {
    for (const text of this.#statements.keys()) {
      this.#statements.delete(text)
      return
    }
  }
}
