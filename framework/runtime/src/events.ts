import type { Partition } from "@lockstep/core"
import type { ReplicaOutput } from "@lockstep/replication"
import type { HostEvent } from "./host.ts"

/** What a protocol says for operators alone. */
export type ForOperators = ReplicaOutput & { readonly _tag: "Reign" | "Notice" | "Membership" | "Waits" }

/** The same, as a host tells it. */
export function eventOf(output: ForOperators, partition: Partition): HostEvent {
  switch (output._tag) {
    case "Reign":
      return { event: "reign", partition, ...output.report }
    case "Notice":
      return { partition, ...output.notice }
    case "Membership": {
      const { epoch, voters, standbys } = output.roster
      return { event: "membership", partition, epoch, role: output.role, voters, standbys }
    }
    case "Waits":
      return { event: "waits", partition, detail: output.detail }
  }
}
