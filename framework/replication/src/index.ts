export * from "./mode.ts"
export {
  type Checkpoint,
  type CheckpointChanges,
  type CheckpointHeader,
  decodeHeader,
  encodeHeader,
} from "./state-machine/checkpoint.ts"
export { bucketsOf, manifestOf } from "./state-machine/reading.ts"
export type { TransferAnswer, TransferRequest } from "./state-machine/transfer.ts"
export { stateMachine, type StateMachineOptions } from "./state-machine/mode.ts"
