import { ActorError, type ActorContext, Command, primaryBackup, Query, Replicated } from "lockstep"
import { carrier } from "./carrier.ts"

/** When a reservation is answered, and so what may be lost with the primary. */
export const REPLICATIONS = ["synchronous", "semi-synchronous", "asynchronous"] as const
export type Replication = (typeof REPLICATIONS)[number]

export interface Reservation {
  /** The carrier's booking has the same. */
  readonly id: string
  /** Counts the reservations of an item, from 1. */
  readonly number: number
  /** The replica that was the primary, and its clock. */
  readonly by: string
  readonly atMs: number
}

/** The stock of one item. Whoever reserves a piece has its shipment booked with a carrier, which knows nothing of replicas. */
export function inventoryOf(replication: Replication) {
  @Replicated({ name: "inventory/Item", version: 1, mode: primaryBackup({ replication }) })
  class Item {
    inStock = 100_000
    reservations: Array<Reservation> = []

    /** It waits for another service, and reads a clock: the primary alone executes it, and the backups are given what came of it. */
    @Command()
    async reserve(context: ActorContext): Promise<Reservation> {
      const { id } = context
      if (this.inStock === 0) throw new ActorError("SoldOut")
      // A primary can be gone when this is done and nothing is recorded. Who tries again has the same id: nothing is booked twice.
      await carrier().book(id)
      this.inStock -= 1
      const by = process.env["LOCKSTEP_REPLICA"] ?? ""
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
