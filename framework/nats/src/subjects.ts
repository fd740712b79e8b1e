import type { ClientId, GroupName, Partition } from "@lockstep/core"

/** The stream that is a partition's log. */
export function streamName(group: GroupName, partition: Partition): string {
  return `LOG_${group}_${partition}`
}

/** All entries of a partition. */
export function entriesSubject(group: GroupName, partition: Partition): string {
  return `cmd.${group}.${partition}.>`
}

/** The entries of one client. */
export function entrySubject(group: GroupName, partition: Partition, client: ClientId): string {
  return `cmd.${group}.${partition}.${client}`
}
