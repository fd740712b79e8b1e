import {
  type Bid,
  ByteReader,
  ByteWriter,
  decodeEnvelope,
  type Envelope,
  type Life,
  Malformed,
  OPERATOR,
  type Renewal,
  type Roster,
} from "@lockstep/core"
import { type Reign, Reigns, type Rules, rulesOf } from "@lockstep/replication"
import type { SimulatedLog } from "./log.ts"
import { optionsOf, type SingleMaster } from "./single-master.ts"

/** Whom a write needs, to be acknowledged; and who votes: they are in sync soon, if they are not yet. */
export type Quorum = Pick<Reign, "inSync" | "acknowledgements"> & Pick<Roster, "voters">

/** Who is the master and who is in sync, as the log says, and as the master has said on the way to it. The nemesis asks, so that it knows how far it may go. */
export class Succession {
  /** Masters that took over from one that was silent. */
  failovers = 0
  /** Masters whom the one before named. */
  handovers = 0
  readonly #log: SimulatedLog
  readonly #rules: Rules
  readonly #reigns: Reigns
  #read = 0
  #timeNs = 0n
  /** Renewals that the log may still get. */
  #said: Array<Renewal> = []
  /** Offers of this epoch, whether or not the log has them. */
  #bids: Array<Bid> = []
  /** What operators have stated, whether or not the log has it. */
  #rosters: Array<Roster> = []

  constructor(options: {
    readonly log: SimulatedLog
    readonly setting: SingleMaster
    readonly genesis: Roster
  }) {
    this.#log = options.log
    this.#rules = rulesOf(optionsOf(options.setting))
    this.#reigns = new Reigns(this.#rules, options.genesis)
  }

  get master(): Life | undefined {
    this.#follow()
    return this.#reigns.current.master
  }

  /** Those that count now, and those that may count already where nobody has read them: of a primary that steps down, those of its successor. */
  get quorums(): ReadonlyArray<Quorum> {
    this.#follow()
    return this.#withRosters(this.#reigns)
      .flatMap((reigns) => this.#withWhatIsSaid(reigns))
      .flatMap((reigns) => this.#withRosters(reigns))
      .map(({ current: { inSync, acknowledgements }, roster: { voters } }) => ({
        inSync,
        acknowledgements,
        voters,
      }))
  }

  /** A replica, or an operator, writes this to the log. */
  said(bytes: Uint8Array): void {
    const envelope = understood(bytes)
    if (envelope?._tag === "Renewal") this.#said.push(envelope)
    else if (envelope?._tag === "Bid") this.#bids.push(envelope)
    else if (envelope?._tag === "Reconfiguration") this.#rosters.push(envelope.roster)
  }

  /** What the log says, and what it would say if what is on the way to it were its next entry. */
  #withWhatIsSaid(now: Reigns): ReadonlyArray<Reigns> {
    return [now, ...this.#said.map((renewal) => this.#after(renewal, now)), this.#afterBids(now)]
  }

  /** If this renewal were its next entry. */
  #after(renewal: Renewal, now: Reigns): Reigns {
    const reigns = this.#copy(now)
    reigns.renew(renewal, this.#timeNs)
    return reigns
  }

  /** If these bids were its next entries, once the lease is over. */
  #afterBids(now: Reigns): Reigns {
    const reigns = this.#copy(now)
    for (const bid of this.#bids) reigns.bid(bid, reigns.current.leaseEndNs)
    return reigns
  }

  /** What the log says, and what it would say if its next entry were one of these rosters, while nobody is the primary. */
  #withRosters(now: Reigns): ReadonlyArray<Reigns> {
    const stated = this.#rosters.map((roster) => {
      const reigns = this.#copy(now)
      reigns.reconfigure(roster, OPERATOR, reigns.current.leaseEndNs)
      return reigns
    })
    return [now, ...stated]
  }

  #copy(now: Reigns): Reigns {
    const writer = new ByteWriter()
    now.encode(writer)
    const reigns = new Reigns(this.#rules, now.roster)
    reigns.restore(new ByteReader(writer.take()))
    return reigns
  }

  #follow(): void {
    const entries = this.#log.entries()
    for (; this.#read < entries.length; this.#read++) {
      const entry = entries[this.#read]
      if (entry === undefined) continue
      this.#timeNs = entry.timeNs > this.#timeNs ? entry.timeNs : this.#timeNs + 1n
      const envelope = understood(entry.payload)
      const { epoch } = this.#reigns.current
      if (envelope === undefined) continue
      if (this.#reigns.take(envelope, entry.source, this.#timeNs) !== "elected") continue
      if (envelope._tag === "Renewal") this.handovers++
      else if (epoch > 0) this.failovers++
    }
    const { epoch, number } = this.#reigns.current
    this.#said = this.#said.filter((said) => said.epoch === epoch && said.number > number)
    this.#bids = this.#bids.filter((bid) => bid.epoch > epoch)
    this.#rosters = this.#rosters.filter((roster) => roster.epoch > this.#reigns.roster.epoch)
  }
}

function understood(payload: Uint8Array): Envelope | undefined {
  try {
    return decodeEnvelope(payload)
  } catch (cause) {
    if (cause instanceof Malformed) return undefined
    throw cause
  }
}
