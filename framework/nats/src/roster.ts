import { Epoch, genesisRoster, Malformed, ReplicaId, type Roster } from "@lockstep/core"

// The roster is stated in the log. Beside the log, in the metadata of its stream, there is a copy for those who do not read the log:
// callers, and replicas for whom its beginning is gone.

/** Where the metadata of a stream keeps the replicas that the group was made with. */
export const GENESIS_KEY = "lockstep.replicas"
const ROSTER_KEY = "lockstep.roster"

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

/** What to write there. */
export function metadataOf(roster: Roster): Readonly<Record<string, string>> {
  return { [ROSTER_KEY]: JSON.stringify(roster) }
}
