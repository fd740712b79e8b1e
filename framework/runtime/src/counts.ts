import type { ReplicaId } from "@lockstep/core"
import type { ClientCounts } from "@lockstep/replication"

/** Counts of several protocols, as if one had counted. */
export function totalOf(all: ReadonlyArray<ClientCounts>): ClientCounts {
  const dissents = new Map<ReplicaId, number>()
  for (const counts of all)
    for (const [replica, count] of counts.dissents)
      dissents.set(replica, (dissents.get(replica) ?? 0) + count)
  const sum = (pick: (counts: ClientCounts) => number): number =>
    all.reduce((result, counts) => result + pick(counts), 0)
  return {
    batches: sum((counts) => counts.batches),
    commands: sum((counts) => counts.commands),
    matched: sum((counts) => counts.matched),
    dissents,
    strangers: sum((counts) => counts.strangers),
    appendedAgain: sum((counts) => counts.appendedAgain),
    asked: sum((counts) => counts.asked),
  }
}
