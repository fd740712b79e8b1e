export { type CheckpointHeader, decodeHeader } from "./checkpoint.ts"
export * from "./client.ts"
export * from "./mode.ts"
export * from "./replica.ts"
