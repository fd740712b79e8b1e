import {
  type Bid,
  ByteReader,
  ByteWriter,
  type Envelope,
  type Life,
  objectionTo,
  readBid,
  readLife,
  readLives,
  readRoster,
  type Renewal,
  type ReplicaId,
  type Roster,
  writeBid,
  writeLife,
  writeRoster,
} from "@lockstep/core"
import type { Rules } from "./mode.ts"

/** One master's time, as far as the log has been read. */
export interface Reign {
  /** Counts masters, from 1; 0 before the first. */
  readonly epoch: number
  readonly master: Life | undefined
  /** Of its last renewal that took effect; 0 before the first. */
  readonly number: number
  /** Who surely holds everything that was acknowledged, the master included; before the first, whoever votes. */
  readonly inSync: ReadonlyArray<Life>
  /** So many of the others hold what is acknowledged. */
  readonly acknowledgements: number
  readonly committed: number
  readonly horizon: number
  /** Nobody else is elected before, nanoseconds of the log's time. */
  readonly leaseEndNs: bigint
  /** The log is not needed below this position. */
  readonly logBelow: number
  /** The position that the master had when it was elected: its history is the group's. */
  readonly start: number
  /** Acknowledged positions that may have been lost when it was elected, at most. */
  readonly lossWindow: number
}

/** What an entry changed. */
export type Change = "elected" | "renewed" | "bid" | "membership" | "nothing"

/** How long asynchronous replicas wait for each other's bids, nanoseconds of the log's time. */
const GRACE_NS = 200_000_000n

/**
 * Who is the master, who was, and who may be the next one: all of it follows from the log, so all that have read it agree. See
 * decision 12.
 */
export class Reigns {
  readonly #rules: Rules
  #roster: Roster
  #reign: Reign
  /** Offers since the last renewal, by replica. */
  #bids = new Map<ReplicaId, Bid>()
  #firstBidNs = 0n
  /** The master before, where it did not step down. */
  #silent: Life | undefined

  constructor(rules: Rules, roster: Roster) {
    this.#rules = rules
    this.#roster = roster
    this.#reign = {
      epoch: 0,
      master: undefined,
      number: 0,
      inSync: roster.voters.map((replica) => ({ replica, incarnation: ANY })),
      acknowledgements: this.#acknowledgements(roster.voters.length),
      committed: 0,
      horizon: 0,
      leaseEndNs: 0n,
      logBelow: 0,
      start: 0,
      lossWindow: 0,
    }
  }

  get current(): Reign {
    return this.#reign
  }

  get roster(): Roster {
    return this.#roster
  }

  /** Whether this replica's offer counts already: it need not be repeated. */
  hasBid(life: Life): boolean {
    const bid = this.#bids.get(life.replica)
    return bid !== undefined && isSame(bid.bidder, life)
  }

  /** Whether this is one of those who surely hold everything. */
  isInSync(life: Life): boolean {
    return this.#reign.inSync.some((other) => isSame(other, life))
  }

  /** Whether it was the master before, and was silent: the current one need not wait for it. */
  isSilent(life: Life): boolean {
    return this.#silent !== undefined && isSame(life, this.#silent)
  }

  /** k, where so many replicas are in sync. */
  acknowledgementsFor(inSync: number): number {
    return this.#acknowledgements(inSync)
  }

  /** Takes in what the log holds. Yields undefined where it is about something else, or is not for its source to say. */
  take(envelope: Envelope, source: string, timeNs: bigint): Change | undefined {
    switch (envelope._tag) {
      case "Renewal":
        return this.renew(envelope, timeNs)
      case "Bid":
        return this.bid(envelope, timeNs)
      case "Reconfiguration": {
        const change = this.reconfigure(envelope.roster, source, timeNs)
        return change === "nothing" ? undefined : change
      }
      default:
        return undefined
    }
  }

  renew(renewal: Renewal, timeNs: bigint): Change {
    const reign = this.#reign
    const { master, epoch, number, inSync } = renewal
    const isMaster = reign.master !== undefined && isSame(reign.master, master) && epoch === reign.epoch
    if (!isMaster || number <= reign.number || !this.#isSound(renewal)) return "nothing"
    this.#bids.clear()
    this.#reign = {
      ...reign,
      number,
      inSync,
      acknowledgements: renewal.acknowledgements,
      committed: Math.max(reign.committed, renewal.committed),
      horizon: Math.max(reign.horizon, renewal.horizon),
      leaseEndNs: timeNs + BigInt(renewal.leaseMs) * 1_000_000n,
      logBelow: Math.max(reign.logBelow, renewal.logBelow),
    }
    const successor = inSync.find(({ replica }) => replica === renewal.successor)
    if (successor === undefined || isSame(successor, master)) return "renewed"
    this.#begin(successor, { heirs: [successor, master], position: renewal.committed, timeNs, lossWindow: 0 })
    return "elected"
  }

  bid(bid: Bid, timeNs: bigint): Change {
    const { epoch, number, inSync, leaseEndNs } = this.#reign
    const { bidder } = bid
    const isNamed = inSync.some(({ replica }) => replica === bidder.replica)
    if (bid.epoch !== epoch + 1 || bid.after !== number || timeNs < leaseEndNs || !isNamed) return "nothing"
    if (this.#bids.size === 0) this.#firstBidNs = timeNs
    this.#bids.set(bidder.replica, bid)
    return this.#elect(timeNs) ? "elected" : "bid"
  }

  /** An operator states who votes. */
  reconfigure(next: Roster, source: string, timeNs: bigint): Change {
    if (objectionTo(next, { source, current: this.#roster, quorum: 1 }) !== undefined) return "nothing"
    this.#roster = next
    const { inSync, epoch, leaseEndNs } = this.#reign
    // a primary that is there lets those go who were removed, once nobody needs them
    if (epoch > 0 && timeNs < leaseEndNs) return "membership"
    const staying =
      epoch === 0
        ? next.voters.map((replica) => ({ replica, incarnation: ANY }))
        : inSync.filter(({ replica }) => next.voters.includes(replica))
    // nobody else may be elected: it may come back
    if (staying.length === 0) return "membership"
    // whoever goes may be one of those that hold what was acknowledged: as many must be heard as before
    const left = inSync.length - staying.length
    const acknowledgements =
      epoch === 0 ? this.#acknowledgements(staying.length) : Math.max(0, this.#reign.acknowledgements - left)
    this.#reign = { ...this.#reign, inSync: staying, acknowledgements }
    // of those who stay, all may have offered themselves already
    return this.#elect(timeNs) ? "elected" : "membership"
  }

  encode(writer: ByteWriter): void {
    const reign = this.#reign
    writeRoster(writer, this.#roster)
    writer.varint(reign.epoch)
    writer.byte(reign.master === undefined ? 0 : 1)
    if (reign.master !== undefined) writeLife(writer, reign.master)
    writer.varint(reign.number)
    writer.varint(reign.inSync.length)
    for (const life of reign.inSync) writeLife(writer, life)
    for (const value of [
      reign.acknowledgements,
      reign.committed,
      reign.horizon,
      reign.start,
      reign.lossWindow,
      reign.logBelow,
    ])
      writer.varint(value)
    writer.uint64(reign.leaseEndNs)
    writer.uint64(this.#firstBidNs)
    writer.varint(this.#bids.size)
    for (const bid of this.#bids.values()) writeBid(writer, bid)
  }

  /** Throws Malformed. */
  restore(reader: ByteReader): void {
    this.#roster = readRoster(reader)
    const epoch = reader.varint()
    const master = reader.byte() === 1 ? readLife(reader) : undefined
    this.#reign = {
      epoch,
      master,
      number: reader.varint(),
      inSync: readLives(reader),
      acknowledgements: reader.varint(),
      committed: reader.varint(),
      horizon: reader.varint(),
      start: reader.varint(),
      lossWindow: reader.varint(),
      logBelow: reader.varint(),
      leaseEndNs: reader.uint64(),
    }
    this.#firstBidNs = reader.uint64()
    this.#bids = new Map()
    for (let left = reader.count(); left > 0; left--) {
      const bid = readBid(reader)
      this.#bids.set(bid.bidder.replica, bid)
    }
  }

  /** Whether the offers suffice. */
  #elect(timeNs: bigint): boolean {
    const winner = this.#winner(timeNs)
    if (winner === undefined) return false
    const { lastEpoch, position } = winner
    const { master, horizon, inSync } = this.#reign
    const heirs = inSync
      .flatMap(({ replica }) => this.#bids.get(replica) ?? [])
      .filter((other) => other.lastEpoch === lastEpoch && other.position === position)
      .map((other) => other.bidder)
    const isLossy = this.#rules.replication === "asynchronous"
    const lossWindow = isLossy ? Math.max(0, horizon - position) : 0
    this.#begin(winner.bidder, { heirs, position, timeNs, lossWindow })
    this.#silent = master
    return true
  }

  /**
   * What was acknowledged is held by k+1 of the s in-sync replicas, so any s − k of them know it, and the one that is furthest has
   * all of it. Only those count who are in the life that was in sync; but when all have bid, all are believed.
   */
  #winner(timeNs: bigint): Bid | undefined {
    const { inSync, acknowledgements, committed } = this.#reign
    const bids = inSync.flatMap(({ replica }) => this.#bids.get(replica) ?? [])
    const isWhole = bids.length === inSync.length
    const believed = isWhole ? bids : bids.filter(({ bidder }) => this.isInSync(bidder))
    const isLossy = this.#rules.replication === "asynchronous"
    const needed = isLossy ? 1 : Math.max(1, inSync.length - acknowledgements)
    if (!isWhole && believed.length < needed) return undefined
    if (isLossy && !isWhole && timeNs - this.#firstBidNs < GRACE_NS) return undefined
    const [first, ...others] = believed
    if (first === undefined) return undefined
    const best = others.reduce((a, b) => (isFurther(b, a) ? b : a), first)
    // whoever has less than was acknowledged has lost it: an operator must look
    return isLossy || best.position >= committed ? best : undefined
  }

  #begin(
    master: Life,
    found: {
      /** Those that are known to have the same history as the master. */
      readonly heirs: ReadonlyArray<Life>
      readonly position: number
      readonly timeNs: bigint
      readonly lossWindow: number
    },
  ): void {
    const reign = this.#reign
    const { heirs, position, timeNs, lossWindow } = found
    // Those who were not heard of may hold what was acknowledged, too, and one more disk may be lost at this moment. They are named until the
    // master has said that it can do without; lives that are gone as well, so that as many must be heard at the next election as at this one.
    const areAll = reign.acknowledgements >= reign.inSync.length - 1
    const areAsMany =
      this.#rules.replication !== "asynchronous" &&
      reign.acknowledgements === this.#acknowledgements(reign.inSync.length)
    const others = areAll || areAsMany ? reign.inSync.filter(({ incarnation }) => incarnation !== ANY) : []
    const inSync = [master]
    for (const life of [...heirs, ...others])
      if (!inSync.some(({ replica }) => replica === life.replica)) inSync.push(life)
    this.#bids.clear()
    this.#silent = undefined
    this.#reign = {
      epoch: reign.epoch + 1,
      master,
      number: 0,
      inSync,
      acknowledgements: this.#acknowledgements(inSync.length),
      committed: Math.min(reign.committed, position),
      horizon: position,
      leaseEndNs: timeNs + BigInt(this.#rules.leaseMs) * 1_000_000n,
      logBelow: reign.logBelow,
      start: position,
      lossWindow,
    }
  }

  /** Whether the rules allow what a master states. */
  #isSound({ master, inSync, acknowledgements }: Renewal): boolean {
    const names = new Set(inSync.map(({ replica }) => replica))
    return (
      names.size === inSync.length &&
      inSync.some((life) => isSame(life, master)) &&
      acknowledgements === this.#acknowledgements(inSync.length)
    )
  }

  #acknowledgements(inSync: number): number {
    const { acknowledgements: k, below } = this.#rules
    return below === "refuse" ? k : Math.min(k, Math.max(0, inSync - 1))
  }
}

export function isSame(a: Life, b: Life): boolean {
  return a.replica === b.replica && (a.incarnation === b.incarnation || a.incarnation === ANY)
}

/** The group was just made: whoever bids is in its first life. */
const ANY = ""

function isFurther(a: Bid, b: Bid): boolean {
  return a.lastEpoch > b.lastEpoch || (a.lastEpoch === b.lastEpoch && a.position > b.position)
}
