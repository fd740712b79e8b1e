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
  return token(subject, 2)
}

/** Clients' questions to a replica. */
export function askSubject(group: GroupName, partition: Partition, replica: ReplicaId): string {
  return `ask.${group}.${partition}.${replica}`
}

/** What a replica tells its peers, or one of them. Permissions let each replica publish on its own only. */
export function peerSubject(
  group: GroupName,
  partition: Partition,
  replica: ReplicaId,
  to?: ReplicaId,
): string {
  return to === undefined
    ? `peer.${group}.${partition}.${replica}`
    : directSubject(group, partition, replica, to)
}

/** What all replicas of a partition tell each other. */
export function peersSubject(group: GroupName, partition: Partition): string {
  return `peer.${group}.${partition}.*`
}

/** What a replica tells one of its peers. */
export function directSubject(group: GroupName, partition: Partition, from: string, to: string): string {
  return `peer.${group}.${partition}.${from}.${to}`
}

/** What operators wish of the replicas of a partition. Permissions let nobody else publish there. */
export function wishSubject(group: GroupName, partition: Partition): string {
  return `operator.${group}.${partition}`
}

/** What a replica answers operators: who is the master. Permissions let each replica publish on its own only. */
export function reignSubject(group: GroupName, partition: Partition, replica: string): string {
  return `reign.${group}.${partition}.${replica}`
}

/** Clients ask all replicas of a partition to tell of calls that were not sampled: they have heard a dissent about them. */
export function noticeSubject(group: GroupName, partition: Partition): string {
  return `dissent.${group}.${partition}`
}

/** What one replica tells another while a checkpoint is fetched. */
export function transferSubject(group: GroupName, partition: Partition, to: string, from: string): string {
  return `transfer.${group}.${partition}.${to}.${from}`
}

/** Who a message of a transfer is from. */
export function transferrer(subject: string): string {
  return token(subject, 4)
}

/** Who a message on a peer's subject, or on one about who is the master, is from. */
export function peer(subject: string): string {
  return token(subject, 3)
}

/** One of the tokens of a subject, counted from 0; empty where there is none. (Splitting takes four times as long.) */
function token(subject: string, index: number): string {
  let start = 0
  for (let left = index; left > 0; left--) {
    const dot = subject.indexOf(".", start)
    if (dot === -1) return ""
    start = dot + 1
  }
  const end = subject.indexOf(".", start)
  return end === -1 ? subject.slice(start) : subject.slice(start, end)
}
