import { type ByteReader, type ByteWriter, Malformed } from "./bytes.ts"
import { ReplicaId } from "./ids.ts"
import { ROSTER_NAMES_MAX } from "./roster.ts"

// What replicas of a group with a single master put into the log: so "who is the master, and who surely holds everything" is decided by the
// log's consensus, at one position for all.

/** One life of a replica. One that was restarted may have lost what it held: its word counts as that of another. */
export interface Life {
  readonly replica: ReplicaId
  /** Drawn at random by each process; empty where nobody knows it yet. */
  readonly incarnation: string
}

/** The master says that it is still there, and who surely holds everything. It takes effect in the epoch of its master only. */
export interface Renewal {
  readonly _tag: "Renewal"
  readonly master: Life
  readonly epoch: number
  /** Counts the renewals of one master, from 1: one that comes after a later one has no effect. */
  readonly number: number
  /** How long nobody else may be elected, in the log's time, milliseconds. 0: from here on anybody may. */
  readonly leaseMs: number
  /** The master among them. Whoever is not named can not be elected. */
  readonly inSync: ReadonlyArray<Life>
  /** So many of the others hold every write that is acknowledged from here on. */
  readonly acknowledgements: number
  /** Every position up to here is acknowledged. */
  readonly committed: number
  /** No position above it is acknowledged before another renewal says so. */
  readonly horizon: number
  /** The master steps down: this replica, which has everything, is the next one. */
  readonly successor: ReplicaId | undefined
  /** All in-sync replicas hold on their disks what the log says up to this position: it is not needed any more. */
  readonly logBelow: number
}

/**
 * A replica offers to be the next master, and promises to acknowledge nothing more to the current one. It takes effect after the
 * lease only, and where the master has said nothing since the renewal that it names: then the promise is void.
 */
export interface Bid {
  readonly _tag: "Bid"
  readonly bidder: Life
  /** The next one. */
  readonly epoch: number
  /** The number of the last renewal that took effect in the current epoch, as far as the bidder has read; 0 for none. */
  readonly after: number
  /** Its last record: the epoch that made it, and its position. */
  readonly lastEpoch: number
  readonly position: number
}

/** Whether an envelope is about who is the master. */
export function isOfMaster(envelope: { readonly _tag: string }): envelope is Renewal | Bid {
  return envelope._tag === "Renewal" || envelope._tag === "Bid"
}

export function writeRenewal(writer: ByteWriter, renewal: Omit<Renewal, "_tag">): void {
  writeLife(writer, renewal.master)
  writer.varint(renewal.epoch)
  writer.varint(renewal.number)
  writer.varint(renewal.leaseMs)
  writer.varint(renewal.inSync.length)
  for (const life of renewal.inSync) writeLife(writer, life)
  writer.varint(renewal.acknowledgements)
  writer.varint(renewal.committed)
  writer.varint(renewal.horizon)
  writer.string(renewal.successor ?? "")
  writer.varint(renewal.logBelow)
}

/** Throws {@link Malformed}. */
export function readRenewal(reader: ByteReader): Renewal {
  const master = readLife(reader)
  const epoch = reader.varint()
  const number = reader.varint()
  const leaseMs = reader.varint()
  const inSync = readLives(reader)
  const acknowledgements = reader.varint()
  const committed = reader.varint()
  const horizon = reader.varint()
  const name = reader.string()
  const successor = name === "" ? undefined : toReplica(name)
  const logBelow = reader.varint()
  return {
    _tag: "Renewal",
    master,
    epoch,
    number,
    leaseMs,
    inSync,
    acknowledgements,
    committed,
    horizon,
    successor,
    logBelow,
  }
}

export function writeBid(writer: ByteWriter, bid: Omit<Bid, "_tag">): void {
  writeLife(writer, bid.bidder)
  writer.varint(bid.epoch)
  writer.varint(bid.after)
  writer.varint(bid.lastEpoch)
  writer.varint(bid.position)
}

/** Throws {@link Malformed}. */
export function readBid(reader: ByteReader): Bid {
  return {
    _tag: "Bid",
    bidder: readLife(reader),
    epoch: reader.varint(),
    after: reader.varint(),
    lastEpoch: reader.varint(),
    position: reader.varint(),
  }
}

export function writeLife(writer: ByteWriter, life: Life): void {
  writer.string(life.replica)
  writer.string(life.incarnation)
}

/** Throws {@link Malformed}. */
export function readLife(reader: ByteReader): Life {
  const replica = reader.name(ReplicaId)
  const incarnation = reader.string()
  if (incarnation.length > INCARNATION_LENGTH_MAX) throw new Malformed("an incarnation is too long")
  return { replica, incarnation }
}

/** Throws {@link Malformed}. */
export function readLives(reader: ByteReader): ReadonlyArray<Life> {
  const count = reader.count()
  if (count > ROSTER_NAMES_MAX) throw new Malformed(`more than ${ROSTER_NAMES_MAX} replicas are in sync`)
  return Array.from({ length: count }, () => readLife(reader))
}

const INCARNATION_LENGTH_MAX = 64

function toReplica(name: string): ReplicaId {
  try {
    return ReplicaId(name)
  } catch {
    throw new Malformed(`${JSON.stringify(name)} is no name of a replica`)
  }
}
