import { Epoch, genesisRoster, Malformed, ReplicaId, type Roster } from "@lockstep/core"

// The roster is stated in the log. Beside the log, in the metadata of its stream, there is a copy for those who do not read the log:
// callers, and replicas for whom its beginning is gone.

/** Where the metadata of a stream keeps the replicas that the group was made with. */
export const GENESIS_KEY = "lockstep.replicas"
const ROSTER_KEY = "lockstep.roster"

/** A roster, and its position in the log; undefined where the log need not hold it any more. */
export interface StatedRoster {
  readonly roster: Roster
  readonly since: number | undefined
}

/** The replicas that the group was made with. */
export function genesisOf(metadata: Readonly<Record<string, string>> = {}): ReadonlyArray<ReplicaId> {
  return (metadata[GENESIS_KEY] ?? "").split(",").map(ReplicaId)
}

/** The copy of the roster; where there is none, the one that the group was made with. Throws Malformed. */
export function rosterOf(metadata: Readonly<Record<string, string>> = {}): Roster {
  const text = metadata[ROSTER_KEY]
  if (text === undefined) return genesisRoster(genesisOf(metadata))
  try {
    const { epoch, voters, standbys } = JSON.parse(text) as Roster // each part of it is checked here
    return { epoch: Epoch(epoch), voters: voters.map(ReplicaId), standbys: standbys.map(ReplicaId) }
  } catch {
    throw new Malformed(`the metadata ${ROSTER_KEY} is no roster: ${text.slice(0, 200)}`)
  }
}

/** Where in the log it was stated; undefined where it is the one that the group was made with, or the copy does not say. */
export function rosterSinceOf(metadata: Readonly<Record<string, string>> = {}): number | undefined {
  const text = metadata[ROSTER_KEY]
  if (text === undefined) return undefined
  const { since } = JSON.parse(text) as { readonly since?: unknown } // it is a roster
  return Number.isSafeInteger(since) ? (since as number) : undefined // a number, then
}

/** What to write there. */
export function metadataOf({ roster, since }: StatedRoster): Readonly<Record<string, string>> {
  return { [ROSTER_KEY]: JSON.stringify({ ...roster, since }) }
}
