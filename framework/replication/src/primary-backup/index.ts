export * from "./client.ts"
export * from "./mode.ts"
export * from "./record.ts"
export * from "./replica.ts"
