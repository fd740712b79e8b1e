import { setTimeout as sleep } from "node:timers/promises"
import { connect } from "lockstep"
import { type Booking, Carrier } from "./carrier.ts"
import { type Answer, Customers } from "./customers.ts"
import { Group } from "./group.ts"
import type { Replication, Reservation } from "./inventory.ts"

/** What one setting made of the loss of its primary. */
export interface Trial {
  readonly replication: Replication
  readonly killed: string
  readonly successor: string
  /** Reservations that customers were told to have, and those of them that the group does not know any more. */
  readonly acknowledged: number
  readonly lost: number
  /** What the failover reported to be lost at most. */
  readonly lossWindow: number
  /** From the kill to the first answer of the next primary. */
  readonly failoverGapMs: number
  /** Reservations whose outcome was unknown to the customer, who asked again, or gave up. */
  readonly askedAgain: number
  readonly gaveUp: number
  readonly outside: {
    readonly bookings: number
    /** Those that the carrier was asked for again, and recognised by their id. */
    readonly recognised: number
    /** Those that have no reservation, although a customer was told to have one, and those that nobody was told of. */
    readonly withoutReservation: { readonly acknowledged: number; readonly unanswered: number }
  }
  /** Promises that were not kept. */
  readonly broken: ReadonlyArray<string>
}

/** Long enough to be ahead, and shorter than a backup may be silent before it counts as gone (500 ms). */
const AHEAD_MS = 250
const LOAD_MS = 1000

export async function tryOut(server: string, replication: Replication): Promise<Trial> {
  await using group = await Group.start(server, replication)
  // A command is a batch of its own, so that what is lost can be compared with what is reported: that counts batches.
  const limits = { batchCommandsMax: 1 }
  await using client = await connect({ servers: server, group: replication, limits })
  const { replica: killed, reign: before } = await group.primary({ inSync: 3 })
  const customers = new Customers(client, replication)
  await sleep(LOAD_MS)

  await group.strike(killed, { aheadMs: AHEAD_MS })
  const killedAtMs = performance.now()
  const { replica: successor, reign } = await group.primary({ inSync: 2 })
  await sleep(LOAD_MS)
  await customers.leave()

  const reserved = await customers.reserved()
  using carrier = new Carrier(group.carrierFile)
  const bookings = carrier.bookings()
  const { answers, askedAgain, gaveUp } = customers
  const known = new Set(reserved.map(({ id }) => id))
  const told = new Set(answers.map(({ reservation }) => reservation.id))
  const orphans = bookings.filter(({ id }) => !known.has(id))
  const lost = [...told].filter((id) => !known.has(id)).length
  const served = answers.find(({ reservation }) => reservation.by === successor)
  return {
    replication,
    killed,
    successor,
    acknowledged: told.size,
    lost,
    lossWindow: reign.lossWindow,
    failoverGapMs: Math.round((served?.atMs ?? Number.NaN) - killedAtMs),
    askedAgain,
    gaveUp,
    outside: {
      bookings: bookings.length,
      recognised: bookings.filter(({ asked }) => asked > 1).length,
      withoutReservation: {
        acknowledged: orphans.filter(({ id }) => told.has(id)).length,
        unanswered: orphans.filter(({ id }) => !told.has(id)).length,
      },
    },
    broken: [
      ...(before.epoch < reign.epoch ? [] : [`epoch ${reign.epoch} does not follow ${before.epoch}`]),
      ...(lost <= reign.lossWindow ? [] : [`${lost} are lost, and at most ${reign.lossWindow} were reported`]),
      ...(lost === 0 || replication === "asynchronous" ? [] : [`${lost} are lost in a group that loses nothing`]),
      ...brokenPromises({ answers, reserved, bookings, killed }),
    ],
  }
}

/** What holds in every setting. */
function brokenPromises(seen: {
  readonly answers: ReadonlyArray<Answer>
  readonly reserved: ReadonlyArray<Reservation>
  readonly bookings: ReadonlyArray<Booking>
  readonly killed: string
}): ReadonlyArray<string> {
  const { answers, reserved, bookings, killed } = seen
  const broken: Array<string> = []
  const known = new Set(reserved.map(({ id }) => id))
  const booked = new Set(bookings.map(({ id }) => id))
  const isPrefix = answers
    .map(({ reservation }) => reservation)
    .filter(({ by }) => by === killed)
    .toSorted((a, b) => a.number - b.number)
    .every(({ id }, i, all) => i === 0 || known.has(all[i - 1]?.id ?? "") || !known.has(id))
  if (!isPrefix) broken.push("what is left of the killed primary's reservations is no prefix")
  if (known.size !== reserved.length) broken.push("a reservation was made twice")
  if (reserved.some(({ number }, i) => number !== i + 1)) broken.push("reservations are not numbered 1, 2, 3, …")
  if (reserved.some(({ id }) => !booked.has(id))) broken.push("a reservation has no booking")
  return broken
}
