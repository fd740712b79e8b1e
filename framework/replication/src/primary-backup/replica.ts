import type { ReplicaInput, ReplicaOptions, ReplicaOutput, ReplicaProtocol, ReplicaStatus } from "../mode.ts"
import type { Rules } from "./mode.ts"

/** To be written. */
export class PrimaryBackupReplica implements ReplicaProtocol {
  constructor(_options: ReplicaOptions, _rules: Rules) {}
  get status(): ReplicaStatus {
    throw new Error("to be written")
  }
  step(_input: ReplicaInput, _nowMs?: number): ReadonlyArray<ReplicaOutput> {
    return []
  }
}
