import type { GroupName, Partition, ReplicaId } from "@lockstep/core"
import type { ReplicationMode } from "@lockstep/replication"
import { ATTRIBUTES, DESTINATIONS } from "./names.ts"

/** One replica in one partition. */
export interface Place {
  readonly group: GroupName
  readonly partition: Partition
  readonly replica: ReplicaId
}

/** What is said of everything that happens there. */
export function aboutPlace({ group, partition, replica }: Place): Readonly<Record<string, string | number>> {
  return {
    [ATTRIBUTES.group]: group,
    [ATTRIBUTES.partition]: partition,
    [ATTRIBUTES.replica]: replica,
  }
}

/** Where commands of this mode are sent: the subject, and the same with its group and partition left open. */
export function destinationOf(
  { execution }: ReplicationMode,
  { group, partition }: Omit<Place, "replica">,
): { readonly template: string; readonly destination: string } {
  const template = execution === "once" ? DESTINATIONS.primary : DESTINATIONS.log
  return {
    template,
    destination: template.replace("{group}", group).replace("{partition}", `${partition}`),
  }
}
