import type { Booking } from "./carrier.ts"
import type { Reign } from "./group.ts"
import type { Replication, Reservation } from "./inventory.ts"

/** Three stories: what customers were told, what the group knows afterwards, and what the carrier has booked. */
export interface Stories {
  readonly replication: Replication
  readonly killed: string
  readonly reigns: ReadonlyArray<Reign>
  readonly acknowledged: ReadonlyArray<Reservation>
  readonly reserved: ReadonlyArray<Reservation>
  readonly bookings: ReadonlyArray<Booking>
}

/** Where they differ. */
export interface Comparison {
  readonly acknowledged: number
  /** Of these, the group knows so many no more, and has reported that it can be so many, at most. */
  readonly lost: number
  readonly lossWindow: number
  /** Numbers of reservations that the killed primary acknowledged: what is left is a prefix where no number that is lost is below. */
  readonly lastKept: number | undefined
  readonly firstLost: number | undefined
  readonly bookings: number
  /** Bookings that were asked for again, and recognised by their ids. */
  readonly recognised: number
  /** Ids of bookings without a reservation, by whether a customer was told to have one. */
  readonly orphans: {
    readonly acknowledged: ReadonlyArray<string>
    readonly unanswered: ReadonlyArray<string>
  }
  /** Promises that were not kept. */
  readonly broken: ReadonlyArray<string>
}

export function compare(stories: Stories): Comparison {
  const { acknowledged, reserved, bookings } = stories
  const known = new Set(reserved.map(({ id }) => id))
  const told = new Set(acknowledged.map(({ id }) => id))
  const booked = new Set(bookings.map(({ id }) => id))
  const lost = [...told].filter((id) => !known.has(id)).length
  const lossWindow = stories.reigns.reduce((sum, reign) => sum + reign.lossWindow, 0)
  const orphans = [...booked].filter((id) => !known.has(id))
  const before = acknowledged
    .filter(({ by }) => by === stories.killed)
    .toSorted((a, b) => a.number - b.number)
  const lastKept = before.findLast(({ id }) => known.has(id))?.number
  const firstLost = before.find(({ id }) => !known.has(id))?.number
  const promises = {
    "synchronous and semi-synchronous groups lose nothing":
      stories.replication === "asynchronous" || lost === 0,
    "no more is lost than was reported": lost <= lossWindow,
    "what is left of the killed primary's reservations is a prefix of them":
      (lastKept ?? 0) < (firstLost ?? Infinity),
    "nothing is reserved twice": known.size === reserved.length,
    "reservations have the numbers 1, 2, 3, …": reserved.every(({ number }, i) => number === i + 1),
    "every reservation has a booking": reserved.every(({ id }) => booked.has(id)),
  }
  return {
    acknowledged: told.size,
    lost,
    lossWindow,
    lastKept,
    firstLost,
    bookings: bookings.length,
    recognised: bookings.filter(({ asked }) => asked > 1).length,
    orphans: {
      acknowledged: orphans.filter((id) => told.has(id)),
      unanswered: orphans.filter((id) => !told.has(id)),
    },
    broken: Object.entries(promises).flatMap(([promise, isKept]) => (isKept ? [] : [promise])),
  }
}
