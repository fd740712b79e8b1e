import type { ReplicaId } from "@lockstep/core"
import type { Departure } from "./reign.ts"

/** Watches which backups hold what traced commands came to. It changes nothing of that. */
export interface ShipmentObserver {
  /**
   * Commands were executed, and what they came to stands at this position of the primary's history. `traces`: W3C traceparents of what sent those
   * that are traced. Undefined, where nobody wants to see where that goes.
   */
  recorded(record: {
    readonly position: number
    readonly traces: ReadonlyArray<string>
  }): RecordObservation | undefined
}

/** One record, as long as there are backups that are counted on and do not hold it. */
export interface RecordObservation {
  /** It is sent to this backup for the first time. */
  shipped(backup: ReplicaId): ShipmentObservation
}

/** One record on its way to one backup. */
export interface ShipmentObservation {
  /** Is called once: the backup has it on its disk, or this primary waits for that no more. */
  end(how: "held" | Departure): void
}
