/** Something that goes wrong at a time, and for how long. `target` is an index of replicas or clients. */
export interface Fault {
  readonly kind: FaultKind
  readonly atMs: number
  readonly durationMs: number
  readonly target: number
  /** Of the kind's own making: a clock's skew, a delay, a direction. */
  readonly amount: number
}

export const REPLICA_FAULTS = [
  "crash",
  "pause",
  "slow",
  "isolate",
  "deaf",
  "mute",
  "consumer-lost",
  "disk-lost",
  "disk-rotten",
  "disk-rolled-back",
  "disk-full",
] as const

/** Alone in its run, because nobody can say how long it lasts: until a checkpoint shows it, and the replica has healed itself. */
export const MEMORY_FLIP = "memory-flip"
export const OTHER_FAULTS = [
  "log-away",
  "log-flaps",
  "log-full",
  "log-silent",
  "client-crash",
  "client-isolated",
  "reconnect",
  "garbage-entry",
] as const

export type FaultKind = typeof MEMORY_FLIP | (typeof REPLICA_FAULTS)[number] | (typeof OTHER_FAULTS)[number]
