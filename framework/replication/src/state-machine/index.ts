export { type Checkpoint, type CheckpointChanges, type CheckpointHeader, decodeHeader } from "./checkpoint.ts"
export * from "./client.ts"
export * from "./mode.ts"
export * from "./replica.ts"
