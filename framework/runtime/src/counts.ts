import type { ReplicaId } from "@lockstep/core"
import type { ClientCounts } from "@lockstep/replication"

/** Counts of several protocols, as if one had counted. */
export function totalOf(all: ReadonlyArray<ClientCounts>): ClientCounts {
  const sum = (pick: (counts: ClientCounts) => number): number =>
    all.reduce((result, counts) => result + pick(counts), 0)
  return {
    batches: sum((counts) => counts.batches),
    commands: sum((counts) => counts.commands),
    matched: sum((counts) => counts.matched),
    matches: byReplica(all.map(({ matches }) => matches)),
    dissents: byReplica(all.map(({ dissents }) => dissents)),
    strangers: sum((counts) => counts.strangers),
    appendedAgain: sum((counts) => counts.appendedAgain),
    asked: sum((counts) => counts.asked),
    waiting: sum((counts) => counts.waiting),
    unsent: sum((counts) => counts.unsent),
  }
}

function byReplica(all: ReadonlyArray<ReadonlyMap<ReplicaId, number>>): ReadonlyMap<ReplicaId, number> {
  const total = new Map<ReplicaId, number>()
  for (const counts of all)
    for (const [replica, count] of counts) total.set(replica, (total.get(replica) ?? 0) + count)
  return total
}
