import { type ActorClass, Command, primaryBackup, Query, Replicated, stateMachine } from "lockstep"
import type { ReplicationMode } from "@lockstep/replication"

/** The work that all programs do: one number per key. */
export interface Counter {
  add(amount: number): number
  read(): number
}

/** How counters are replicated on three replicas, by the names of the bench. */
export const MODES = {
  "state machine": stateMachine({ faults: 1, faultModel: "byzantine" }),
  synchronous: primaryBackup({ replication: "synchronous" }),
  "semi-synchronous": primaryBackup({ replication: "semi-synchronous", acknowledgements: 1 }),
  asynchronous: primaryBackup({ replication: "asynchronous" }),
} satisfies Readonly<Record<string, ReplicationMode>>

export type ModeName = keyof typeof MODES

/** The class of counters that are replicated in this way. */
export function counterOf(mode: ReplicationMode): ActorClass<Counter> {
  @Replicated({ name: "bench/Counter", version: 1, mode })
  class ReplicatedCounter implements Counter {
    value = 0

    @Command()
    add(amount: number): number {
      this.value += amount
      return this.value
    }

    @Query()
    read(): number {
      return this.value
    }
  }
  return ReplicatedCounter
}

export const Voted = counterOf(MODES["state machine"])

/** Tells a replica process which of them it is to host. */
export const MODE = "BENCH_MODE"

const [, mode = MODES["state machine"]] =
  Object.entries(MODES).find(([name]) => name === process.env[MODE]) ?? []

export const actors = [counterOf(mode)]
