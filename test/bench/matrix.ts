import type { LogSetup } from "./log-servers.ts"

/** What is called at a time: so many calls, over so many keys. */
export interface Load {
  readonly open: number
  readonly keys: number
}

/** A log, and the loads that contenders are compared under while they use it. */
export interface MatrixRow {
  readonly name: string
  readonly log: LogSetup
  readonly loads: ReadonlyArray<Load>
}

const OPEN = [1, 64, 1000, 4096]
const KEYS_MAX = 1000
const overKeys = OPEN.map((open): Load => ({ open, keys: KEYS_MAX }))

/**
 * Which cells of the matrix are measured. One key is there for the first log only: contention for an actor is the replicas' own
 * affair, whatever keeps the log.
 */
export const MATRIX: readonly [MatrixRow, ...ReadonlyArray<MatrixRow>] = [
  {
    name: "one copy, sync always",
    log: { copies: 1, sync: "always" },
    loads: [...overKeys, ...OPEN.map((open): Load => ({ open, keys: 1 }))],
  },
  { name: "one copy, sync by default", log: { copies: 1, sync: "default" }, loads: overKeys },
  { name: "three copies, sync always", log: { copies: 3, sync: "always" }, loads: overKeys },
  { name: "three copies, sync by default", log: { copies: 3, sync: "default" }, loads: overKeys },
]

export const KEYS: ReadonlyArray<string> = Array.from({ length: KEYS_MAX }, (_, i) => `key-${i}`)
