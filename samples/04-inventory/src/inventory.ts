import { type ActorContext, ActorError, Command, primaryBackup, Query, Replicated } from "lockstep"
import { carrier } from "./carrier.ts"

/** When a reservation is answered, and so what may be lost with the primary. */
export const REPLICATIONS = ["synchronous", "semi-synchronous", "asynchronous"] as const
export type Replication = (typeof REPLICATIONS)[number]

export interface Reservation {
  /** The carrier's booking has the same. */
  readonly id: string
  /** Counts the reservations of an item, from 1. */
  readonly number: number
  /** The replica that made it, by its own clock. */
  readonly by: string
  readonly atMs: number
}

/** The stock of one item. For each reservation a shipment is booked with a carrier, which knows nothing of replicas. */
export function inventoryOf(replication: Replication) {
  @Replicated({ name: "inventory/Item", version: 1, mode: primaryBackup({ replication }) })
  class Item {
    inStock = 100_000
    reservations: Array<Reservation> = []

    /**
     * Waits for another service, and reads a clock: only the primary executes it, and backups are given what came of it. While it waits, no
     * other command runs on this item.
     */
    @Command()
    async reserve(context: ActorContext): Promise<Reservation> {
      if (this.inStock === 0) throw new ActorError("SoldOut")
      const { id } = context
      // If the primary dies right after this line, there is a booking and no reservation. A retry has the same id, so nothing is booked twice.
      await carrier().book(id)
      this.inStock -= 1
      const by = process.env["LOCKSTEP_REPLICA"] ?? "nobody"
      const reservation = { id, number: this.reservations.length + 1, by, atMs: Date.now() }
      this.reservations.push(reservation)
      return reservation
    }

    @Query()
    reserved(): ReadonlyArray<Reservation> {
      return this.reservations
    }
  }
  return Item
}
