import type { Random } from "./random.ts"

/** Something that goes wrong at a time, and for how long. `target` is an index of replicas or clients. */
export interface Fault {
  readonly kind: FaultKind
  readonly atMs: number
  readonly durationMs: number
  readonly target: number
  /** Whoever is the master at that time, if anybody is, in place of `target`. */
  readonly ofMaster?: boolean
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

/** Where one replica is the master: nothing is answered before its disk, and those of others, have synced; callers may reach it when nobody else does; and it says so when it is to end. */
export const MASTER_FAULTS = [...REPLICA_FAULTS, "disk-slow", "aside", "stop"] as const
/** Of a group with a master: all of it loses power, and perhaps what is on one disk, or an operator wants another master. */
export const GROUP_FAULTS = ["power-failure", "hand-over"] as const

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

export type FaultKind =
  | typeof MEMORY_FLIP
  | (typeof MASTER_FAULTS)[number]
  | (typeof GROUP_FAULTS)[number]
  | (typeof OTHER_FAULTS)[number]

/** Faults of the log and of clients. */
export function drawOtherFaults(
  random: Random,
  options: { readonly clients: number; readonly durationMs: number },
): ReadonlyArray<Fault> {
  const kinds = random.shuffle(OTHER_FAULTS).slice(0, random.integer(0, OTHER_FAULTS.length))
  const faults: Array<Fault> = []
  if (kinds.length === 0) return faults
  const meanMs = random.pick([1000, 5000])
  const lastMs = random.pick([300, 1000, 6000])
  for (let atMs = random.exponential(meanMs); atMs < options.durationMs; atMs += random.exponential(meanMs))
    faults.push({
      kind: random.pick(kinds),
      atMs,
      durationMs: random.exponential(lastMs),
      target: random.integer(0, options.clients - 1),
      amount: random.real(),
    })
  return faults
}
