import { type ActorClass, Command, Replicated, stateMachine } from "lockstep"
import type { ReplicationMode } from "@lockstep/replication"

/** An actor that is sent bytes, and keeps only how often: what is measured is the way there. */
export interface Parcel {
  /** Returns how many there were with this one. */
  send(content: string): number
}

/** What can be masked by voting, by the names of the bench. */
export const VARIANTS = {
  "f = 1, any fault": stateMachine({ faults: 1, faultModel: "byzantine" }),
  "f = 2, any fault": stateMachine({ faults: 2, faultModel: "byzantine" }),
  "f = 1, crashes": stateMachine({ faults: 1, faultModel: "crash" }),
  "f = 2, crashes": stateMachine({ faults: 2, faultModel: "crash" }),
} satisfies Readonly<Record<string, ReplicationMode>>

export type VariantName = keyof typeof VARIANTS

/** The class of parcels that are replicated in this way. */
export function parcelOf(mode: ReplicationMode): ActorClass<Parcel> {
  @Replicated({ name: "bench/Parcel", version: 1, mode })
  class ReplicatedParcel implements Parcel {
    sent = 0

    @Command()
    send(content: string): number {
      if (content.length > 0) this.sent++
      return this.sent
    }
  }
  return ReplicatedParcel
}

/** Tells a replica process which of them it is to host. */
export const VARIANT = "BENCH_VARIANT"

const [, mode = VARIANTS["f = 1, any fault"]] =
  Object.entries(VARIANTS).find(([name]) => name === process.env[VARIANT]) ?? []

export const actors = [parcelOf(mode)]
