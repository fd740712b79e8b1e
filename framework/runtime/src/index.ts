export * from "./connect.ts"
export * from "./develop.ts"
export * from "./host.ts"
export type { Dissent } from "./lane.ts"
