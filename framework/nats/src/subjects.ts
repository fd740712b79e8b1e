import { type ClientId, type GroupName, OPERATOR, type Partition, type ReplicaId } from "@lockstep/core"

/** The stream that is a partition's log. */
export function streamName(group: GroupName, partition: Partition): string {
  return `LOG_${group}_${partition}`
}

/** All entries of a partition. */
export function entriesSubject(group: GroupName, partition: Partition): string {
  return `cmd.${group}.${partition}.>`
}

/** The entries of one writer: a client, a replica that attests something, or the operators. */
export function entrySubject(group: GroupName, partition: Partition, writer: Writer): string {
  return `cmd.${group}.${partition}.${sourceOf(writer)}`
}

/** The entries in which replicas attest something. */
export function attestationsSubject(group: GroupName, partition: Partition): string {
  return `cmd.${group}.${partition}.replica.*`
}

/** Who writes entries. */
export type Writer = { readonly client: ClientId } | { readonly replica: ReplicaId } | typeof OPERATOR

/** The source of a writer's entries, as replicas see it. */
export function sourceOf(writer: Writer): string {
  if (writer === OPERATOR) return OPERATOR
  return "client" in writer ? `client.${writer.client}` : `replica.${writer.replica}`
}
