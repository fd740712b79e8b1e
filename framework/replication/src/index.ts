export * from "./mode.ts"
export {
  type Checkpoint,
  type CheckpointChanges,
  type CheckpointHeader,
  decodeHeader,
} from "./state-machine/checkpoint.ts"
export { stateMachine, type StateMachineOptions } from "./state-machine/mode.ts"
