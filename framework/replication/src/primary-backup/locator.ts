import { NoQuorum, type ReplicaId, type Roster } from "@lockstep/core"
import { Rumour } from "../rumour.ts"
import type { Reply } from "./request.ts"

/** Everybody is asked who the primary is, so often where nobody is known, and so often where the known one may only be slow, milliseconds. */
const LOCATE_MS = 100
const DOUBT_MS = 250
/** After so many questions nobody who is known may be in the group any more. */
const FRUITLESS = 5

/** Who the primary is, as far as a client knows. */
export class Locator {
  readonly #rumour = new Rumour()
  #voters: ReadonlyArray<ReplicaId>
  #rosterEpoch: number
  #epoch = 0
  #primary: ReplicaId | undefined
  #askAtMs = Number.NEGATIVE_INFINITY
  #asked = 0
  #turn = 0

  constructor(roster: Roster) {
    this.#voters = roster.voters
    this.#rosterEpoch = roster.epoch
  }

  get epoch(): number {
    return this.#epoch
  }

  get primary(): ReplicaId | undefined {
    return this.#primary
  }

  get voters(): ReadonlyArray<ReplicaId> {
    return this.#voters
  }

  /** Whether this is a later roster. */
  adopt({ voters, epoch }: Roster): boolean {
    if (epoch <= this.#rosterEpoch) return false
    this.#voters = voters
    this.#rosterEpoch = epoch
    this.#rumour.confirmed()
    return true
  }

  isTime(nowMs: number): boolean {
    return nowMs >= this.#askAtMs
  }

  /** Whom to ask, and whether to look who votes. */
  ask(nowMs: number): { readonly voters: ReadonlyArray<ReplicaId>; readonly needsRoster: boolean } {
    this.#askAtMs = nowMs + (this.#primary === undefined ? LOCATE_MS : DOUBT_MS)
    const needsRoster = ++this.#asked > FRUITLESS && this.#rumour.heard(nowMs)
    return { voters: this.#voters, needsRoster }
  }

  /** What to tell callers whose commands no primary took: nothing was executed. */
  unreachable(): NoQuorum {
    const [missing, detail] = [this.#voters, "No primary answered before the deadline."]
    return new NoQuorum({ needed: 1, testimonies: [], missing, command: undefined, seq: undefined, detail })
  }

  /** Whether there is another primary than was known. An answer to a query that may be old says nothing of that. */
  learn(reply: Reply, from: ReplicaId): boolean {
    const isBackups = reply._tag === "Stale" || (this.#primary !== undefined && from !== this.#primary)
    const primary = reply._tag === "Elsewhere" ? reply.master : isBackups ? undefined : from
    if (primary === undefined || reply.epoch < this.#epoch) return false
    if (reply.epoch === this.#epoch && this.#primary !== undefined) return false
    this.#epoch = reply.epoch
    this.#primary = primary
    this.#asked = 0
    return true
  }

  /** Another replica than the primary, in turn, if there is one. */
  anyBackup(primary: ReplicaId): ReplicaId {
    const backups = this.#voters.filter((voter) => voter !== primary)
    return backups[this.#turn++ % Math.max(1, backups.length)] ?? primary
  }
}
