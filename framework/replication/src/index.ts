export * from "./limits.ts"
export * from "./mode.ts"
export type { Decision, Dissent, LateVote } from "./decision.ts"
export * from "./reign.ts"
export { isNeeded, LEAD_MS } from "./leaving.ts"
export type { RecordObservation, ShipmentObservation, ShipmentObserver } from "./shipment.ts"
export { placeOf } from "./bucket.ts"
export { type Coding, erasureCoded } from "./erasure-coded.ts"
export type {
  Checkpoint,
  CheckpointChanges,
  Shelf,
  StagedBucket,
  StagedCheckpoint,
  TransferAnswer,
  TransferRequest,
  Wanted,
} from "./checkpoint.ts"
export { together } from "./overdue.ts"
export { answersTo, type Library } from "./reading.ts"
export { Stage } from "./stage.ts"
export { type CheckpointHeader, decodeHeader, encodeHeader } from "./state-machine/checkpoint.ts"
export {
  primaryBackup,
  type PrimaryBackupOptions,
  type Rules,
  rulesOf,
  type Timing,
} from "./primary-backup/mode.ts"
export { type Reign, Reigns } from "./primary-backup/reigns.ts"
export { decodeRecord, encodeRecord, type JournalRecord } from "./primary-backup/record.ts"
export { stateMachine, type StateMachineOptions } from "./state-machine/mode.ts"
