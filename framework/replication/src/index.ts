export * from "./mode.ts"
export { stateMachine, type StateMachineOptions } from "./state-machine/mode.ts"
