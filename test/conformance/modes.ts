import type { ReplicationMode } from "@lockstep/replication"
import { primaryBackup, stateMachine } from "lockstep"

/** Every mode, and what distinguishes one setting from another. */
export const MODES: Readonly<Record<string, ReplicationMode>> = {
  "state machine, replicas may lie": stateMachine({ faults: 1, faultModel: "byzantine" }),
  "state machine, replicas may crash": stateMachine({ faults: 1, faultModel: "crash" }),
  "primary and backups, synchronous": primaryBackup({ replication: "synchronous" }),
  "primary and backups, semi-synchronous": primaryBackup({ replication: "semi-synchronous" }),
  "primary and backups, asynchronous": primaryBackup({ replication: "asynchronous" }),
}
