export * from "./client.ts"
export * from "./mode.ts"
export * from "./replica.ts"
