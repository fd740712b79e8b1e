import { type ByteReader, type ByteWriter, Malformed } from "./bytes.ts"
import { Epoch, ReplicaId } from "./ids.ts"

/**
 * One membership of a group. It is stated whole, never as a change: so what an operator wrote is what there is, whatever was
 * there before.
 */
export interface Roster {
  /** Counts the memberships of a group, from 1. Every vote names it: votes of two memberships never add up. */
  readonly epoch: Epoch
  /** Their votes and attestations count. */
  readonly voters: ReadonlyArray<ReplicaId>
  /** They execute everything, and say nothing: a voter is replaced by one of them without a wait. */
  readonly standbys: ReadonlyArray<ReplicaId>
}

/** The end of the subject that an operator's entries are published on: permissions let nobody else write there. */
export const OPERATOR = "operator"
/** Names in a roster, at most. */
export const ROSTER_NAMES_MAX = 64

/** The membership that a group is made with. */
export function genesisRoster(voters: ReadonlyArray<ReplicaId>): Roster {
  return { epoch: Epoch(1), voters, standbys: [] }
}

/**
 * Why a roster that the log states does not follow the current one; undefined where it does, and takes effect at its position.
 * All replicas decide alike: nothing but the log is asked. The epoch is what makes it a compare-and-set: of two operators who
 * saw the same roster, the one whose entry comes first has changed it, and the other one has not.
 */
export function objectionTo(
  next: Roster,
  stated: {
    readonly source: string
    readonly current: Roster
    /** How many voters a decision needs. */
    readonly quorum: number
  },
): string | undefined {
  const { source, current, quorum } = stated
  const names = [...next.voters, ...next.standbys]
  if (source !== OPERATOR) return `${source} is not an operator`
  if (next.epoch !== current.epoch + 1) return `epoch ${next.epoch} does not follow ${current.epoch}`
  if (new Set(names).size < names.length) return "a name stands in it twice"
  if (names.length > ROSTER_NAMES_MAX) return `it has ${names.length} names, more than ${ROSTER_NAMES_MAX}`
  if (next.voters.length < quorum)
    return `it has ${next.voters.length} voters, and a decision needs ${quorum}`
  return undefined
}

/** Whether two rosters name the same replicas, in whatever order. */
export function isSameMembership(a: Omit<Roster, "epoch">, b: Omit<Roster, "epoch">): boolean {
  return isSameSet(a.voters, b.voters) && isSameSet(a.standbys, b.standbys)
}

export function writeRoster(writer: ByteWriter, roster: Roster): void {
  writer.varint(roster.epoch)
  for (const names of [roster.voters, roster.standbys]) {
    writer.varint(names.length)
    for (const name of names) writer.string(name)
  }
}

/** Throws {@link Malformed}. */
export function readRoster(reader: ByteReader): Roster {
  return { epoch: Epoch(reader.varint()), voters: readNames(reader), standbys: readNames(reader) }
}

function readNames(reader: ByteReader): ReadonlyArray<ReplicaId> {
  const count = reader.count()
  if (count > ROSTER_NAMES_MAX) throw new Malformed(`a roster has more than ${ROSTER_NAMES_MAX} names`)
  return Array.from({ length: count }, () => reader.name(ReplicaId))
}

function isSameSet(a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean {
  return a.length === b.length && a.every((name) => b.includes(name))
}
