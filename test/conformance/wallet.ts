import type { ReplicationMode } from "@lockstep/replication"
import { type ActorClass, ActorError, Command, Query, Replicated } from "lockstep"

export interface Wallet {
  /** Returns what is in the wallet then. */
  deposit(cents: bigint): bigint
  /** Throws ActorError "Overdrawn", with what is missing. */
  withdraw(cents: bigint): bigint
  /** Throws what is no ActorError. */
  fail(): void
  /** Keeps these bytes, and returns how many it has. */
  keep(bytes: Uint8Array): number
  balance(): bigint
  kept(): ReadonlyArray<Uint8Array>
}

/** One class, in any mode. */
export function walletIn(mode: ReplicationMode): ActorClass<Wallet> {
  @Replicated({ name: "conformance/Wallet", version: 1, mode })
  class InAnyMode implements Wallet {
    cents = 0n
    bytes: Array<Uint8Array> = []

    @Command()
    deposit(cents: bigint): bigint {
      this.cents += cents
      return this.cents
    }

    @Command()
    withdraw(cents: bigint): bigint {
      this.cents -= cents
      if (this.cents < 0n) throw new ActorError("Overdrawn", { missing: -this.cents })
      return this.cents
    }

    @Command()
    fail(): void {
      this.cents = -1n
      throw new RangeError("out of bounds")
    }

    @Command()
    keep(bytes: Uint8Array): number {
      return this.bytes.push(bytes)
    }

    @Query()
    balance(): bigint {
      return this.cents
    }

    @Query()
    kept(): ReadonlyArray<Uint8Array> {
      return this.bytes
    }
  }
  return InAnyMode
}
