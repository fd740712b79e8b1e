import type { ClientId, GroupName, Partition, ReplicaId } from "@lockstep/core"

/** A replica's votes for a client. Permissions let each replica publish on its own votes only: that authenticates them. */
export function voteSubject(group: GroupName, replica: ReplicaId, client: ClientId): string {
  return `vote.${group}.${replica}.${client}`
}

/** All replicas' votes for a client. */
export function votesSubject(group: GroupName, client: ClientId): string {
  return `vote.${group}.*.${client}`
}

/** Who a message on a vote subject is from. */
export function voter(subject: string): string {
  return subject.split(".")[2] ?? ""
}

/** Clients' questions to a replica. */
export function askSubject(group: GroupName, partition: Partition, replica: ReplicaId): string {
  return `ask.${group}.${partition}.${replica}`
}
