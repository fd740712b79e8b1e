import {
  type Bid,
  ByteReader,
  ByteWriter,
  decodeEnvelope,
  type Envelope,
  genesisRoster,
  isOfMaster,
  type Life,
  Malformed,
  type Renewal,
  type ReplicaId,
} from "@lockstep/core"
import { type Reign, Reigns, type Rules, rulesOf } from "@lockstep/replication"
import type { SimulatedLog } from "./log.ts"
import { optionsOf, type SingleMaster } from "./single-master.ts"

/** Whom a write needs, to be acknowledged. */
export type Quorum = Pick<Reign, "inSync" | "acknowledgements">

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

  constructor(options: {
    readonly log: SimulatedLog
    readonly setting: SingleMaster
    readonly names: ReadonlyArray<ReplicaId>
  }) {
    this.#log = options.log
    this.#rules = rulesOf(optionsOf(options.setting))
    this.#reigns = new Reigns(this.#rules, genesisRoster(options.names))
  }

  get master(): Life | undefined {
    this.#follow()
    return this.#reigns.current.master
  }

  /** Those that count now, and those that may count already where nobody has read them: of a primary that steps down, those of its successor. */
  get quorums(): ReadonlyArray<Quorum> {
    this.#follow()
    return [this.#reigns.current, ...this.#said.map((renewal) => this.#after(renewal)), this.#afterBids()]
  }

  /** A replica writes this to the log. */
  said(bytes: Uint8Array): void {
    const envelope = understood(bytes)
    if (envelope?._tag === "Renewal") this.#said.push(envelope)
    else if (envelope?._tag === "Bid") this.#bids.push(envelope)
  }

  /** What the log would say if this renewal were its next entry. */
  #after(renewal: Renewal): Quorum {
    const reigns = this.#copy()
    reigns.renew(renewal, this.#timeNs)
    return reigns.current
  }

  /** What it would say if these were its next entries, once the lease is over. */
  #afterBids(): Quorum {
    const reigns = this.#copy()
    for (const bid of this.#bids) reigns.bid(bid, reigns.current.leaseEndNs)
    return reigns.current
  }

  #copy(): Reigns {
    const writer = new ByteWriter()
    this.#reigns.encode(writer)
    const reigns = new Reigns(this.#rules, this.#reigns.roster)
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
      if (envelope === undefined || !isOfMaster(envelope)) continue
      const { epoch } = this.#reigns.current
      if (envelope._tag === "Renewal") {
        if (this.#reigns.renew(envelope, this.#timeNs) === "elected") this.handovers++
      } else if (this.#reigns.bid(envelope, this.#timeNs) === "elected" && epoch > 0) this.failovers++
    }
    const { epoch, number } = this.#reigns.current
    this.#said = this.#said.filter((said) => said.epoch === epoch && said.number > number)
    this.#bids = this.#bids.filter((bid) => bid.epoch > epoch)
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
