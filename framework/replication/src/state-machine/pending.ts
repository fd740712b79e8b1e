import {
  type Batch,
  decodeEnvelope,
  Diverged,
  type FifoMap,
  invariant,
  NoQuorum,
  OutcomeUnknown,
  type Partition,
  type ReplicaId,
  type SessionId,
  type Statement,
} from "@lockstep/core"
import { Ballot } from "./ballot.ts"

/** A batch that was sent, until it is decided. */
export class Pending<Call> {
  readonly number: number
  /** Commands; 0 for the opening of a session. */
  readonly count: number
  readonly session: SessionId
  readonly payload: Buffer
  readonly bytes: number
  /** Who waits for each command; undefined once told. */
  calls: Array<Call | undefined>
  ballot: Ballot
  deadlineMs: number
  /** How often it was sent to the log. */
  appends = 0
  ackedSeq: number | undefined
  /** The log is asked to take it (again): it has not said so since, and no correct replica has. */
  unconfirmed = true
  appendAtMs = 0
  askAtMs = 0
  asks = 0
  #quorum: Quorum
  /** f+1 voters of an earlier epoch said what they answered: so the log holds it. */
  #wasOrdered = false

  constructor(
    entry: {
      readonly number: number
      readonly session: SessionId
      readonly payload: Buffer
      readonly calls: ReadonlyArray<Call | undefined>
      readonly bytes: number
      readonly deadlineMs: number
    },
    quorum: Quorum,
  ) {
    this.number = entry.number
    this.count = entry.calls.length
    this.session = entry.session
    this.payload = entry.payload
    this.calls = [...entry.calls]
    this.bytes = entry.bytes
    this.deadlineMs = entry.deadlineMs
    this.#quorum = quorum
    this.ballot = new Ballot({ ...quorum, count: this.count })
  }

  get isOpening(): boolean {
    return this.count === 0
  }

  /** The log holds it: the log said so, or at least one correct replica has executed it. */
  get isOrdered(): boolean {
    return this.ackedSeq !== undefined || this.#wasOrdered || this.ballot.ordered
  }

  /** The opening of a session is answered with the session's id; everything else with the session that asked. */
  isAnsweredBy(statement: Statement): boolean {
    return statement.count === this.count && (this.isOpening || statement.session === this.session)
  }

  /** Others vote from here on: all of them are asked, and what was said before counts no longer. */
  adopt(quorum: Quorum, nowMs: number): void {
    this.#wasOrdered ||= this.ballot.ordered
    if (this.#wasOrdered) this.unconfirmed = false
    this.#quorum = quorum
    if (this.ballot.decided !== undefined) return // replicas may have been told that it is settled
    this.ballot = new Ballot({ ...quorum, count: this.count })
    this.asks = 0
    this.askAtMs = nowMs
  }

  /**
   * Replicas that were wrong may have been mended since: all are asked anew. And the batch is sent to the log again, although
   * the log may hold it: replicas that no longer keep the answer say so at that entry, all alike.
   */
  voteAgain(): void {
    this.unconfirmed = true
    this.ballot = new Ballot({ ...this.#quorum, count: this.count })
  }

  /** The commands, to send them as another batch. */
  batch(): Batch {
    const envelope = decodeEnvelope(this.payload)
    invariant(envelope._tag === "Batch", "what has commands is a batch")
    return envelope
  }

  /** What to tell the caller of a command that waited for this opening of a session, which too few replicas confirmed. */
  unopened(): NoQuorum {
    return new NoQuorum({
      needed: this.#quorum.needed,
      testimonies: this.ballot.testimonies(0),
      missing: this.ballot.missing,
      command: undefined,
      seq: undefined,
      detail: "Too few replicas confirmed a session in which the command could be sent.",
    })
  }

  /** What to tell the caller of one of the commands when there is no decision. */
  error(
    reason: "diverged" | "too-late",
    index: number,
    partition: Partition,
  ): Diverged | NoQuorum | OutcomeUnknown {
    const testimonies = this.ballot.testimonies(index)
    const undecided = {
      needed: this.#quorum.needed,
      testimonies,
      missing: this.ballot.missing,
      command: { partition, session: this.session, number: this.number + index },
    }
    const seq = this.ackedSeq ?? testimonies[0]?.seq ?? 0
    if (reason === "diverged")
      return new Diverged({ ...undecided, detail: `The replicas disagree on the command at ${seq}.` })
    return this.isOrdered
      ? new NoQuorum({ ...undecided, seq, detail: `Too few equal answers came to the command at ${seq}.` })
      : new OutcomeUnknown({ ...undecided, detail: "The log did not confirm the command in time." })
  }
}

/** Every number below it is settled, so replicas may forget those answers. */
export function floorOf<Call>(
  next: number,
  inFlight: FifoMap<Pending<Call>>,
  undecided: Iterable<Pending<Call>>,
): number {
  let floor = next
  for (const number of inFlight.keys()) floor = Math.min(floor, number)
  for (const { number, ballot } of undecided)
    if (ballot.decided === undefined) floor = Math.min(floor, number)
  return floor
}

export interface Quorum {
  readonly needed: number
  readonly replicas: ReadonlyArray<ReplicaId>
}
