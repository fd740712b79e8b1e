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
export function rosterOf(metadata?: Readonly<Record<string, string>>): Roster {
  return copyIn(metadata).roster
}

/** The same, and from where on it counts, where the copy says so. Throws Malformed. */
export function copyIn(metadata: Readonly<Record<string, string>> = {}): StatedRoster {
  const text = metadata[ROSTER_KEY]
  if (text === undefined) return { roster: genesisRoster(genesisOf(metadata)), since: undefined }
  try {
    const { epoch, voters, standbys, since } = JSON.parse(text) as Roster & { since?: number } // each part of it is checked here
    const roster = { epoch: Epoch(epoch), voters: voters.map(ReplicaId), standbys: standbys.map(ReplicaId) }
    return { roster, since: Number.isSafeInteger(since) ? since : undefined }
  } catch {
    throw new Malformed(`the metadata ${ROSTER_KEY} is no roster: ${text.slice(0, 200)}`)
  }
}

/** What to write there. */
export function metadataOf({ roster, since }: StatedRoster): Readonly<Record<string, string>> {
  return { [ROSTER_KEY]: JSON.stringify({ ...roster, since }) }
}
