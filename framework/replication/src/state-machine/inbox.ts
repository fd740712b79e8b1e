import { decodeStatement, decodeVote, Malformed, type Statement, type Vote } from "@lockstep/core"
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
  readonly #options: Pick<ClientOptions, "client" | "epoch" | "group" | "partition" | "replicas">
  readonly #statements = new Map<string, Statement>()

  constructor(options: Pick<ClientOptions, "client" | "epoch" | "group" | "partition" | "replicas">) {
    this.#options = options
  }

  /** The vote, if it is one, of a member, under its own name, about this group, log and client. */
  read(from: string, bytes: Uint8Array): Heard | undefined {
    try {
      const vote = decodeVote(bytes)
      if (vote.replica !== from || !this.#options.replicas.includes(vote.replica)) return undefined
      const statement = this.#statements.get(vote.statement) ?? this.#understand(vote.statement)
      return statement && { vote, statement }
    } catch (cause) {
      if (cause instanceof Malformed) return undefined
      throw cause
    }
  }

  #understand(text: string): Statement | undefined {
    const statement = decodeStatement(text)
    const { group, epoch, partition, client } = this.#options
    const isOurs =
      statement.group === group &&
      statement.epoch === epoch &&
      statement.partition === partition &&
      statement.client === client
    if (!isOurs) return undefined
    this.#statements.set(text, statement)
    for (const oldest of this.#statements.keys()) {
      if (this.#statements.size <= REMEMBERED) break
      this.#statements.delete(oldest)
    }
    return statement
  }
}
