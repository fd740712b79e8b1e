import { setTimeout as sleep } from "node:timers/promises"
import { connect } from "lockstep"
import { Carrier } from "./carrier.ts"
import { type Comparison, compare } from "./comparison.ts"
import { Customers } from "./customers.ts"
import { Group, type Reign } from "./group.ts"
import type { Replication } from "./inventory.ts"

/** What came of it that the primary was killed, in one setting. */
export interface Trial extends Comparison {
  readonly replication: Replication
  readonly killed: string
  /** What the replicas reported of the failover. */
  readonly failover: Reign
  /** From the kill to the first reservation that the next primary made. */
  readonly failoverGapMs: number
  /** Reservations whose outcome was unknown to the customer, who asked again, or gave up. */
  readonly askedAgain: number
  readonly gaveUp: number
}

/** Less than a backup may be silent until it is out of sync, 500 ms: one that is cannot become the primary. */
const AHEAD_MS = 200
const LOAD_MS = 1000

export async function tryOut(server: string, replication: Replication): Promise<Trial> {
  await using group = await Group.start(server, replication)
  // Each command in a batch of its own: positions, of which failovers report how many may be lost, are batches.
  const limits = { batchCommandsMax: 1 }
  await using client = await connect({ servers: server, group: replication, limits })
  const customers = new Customers(client, replication)
  await sleep(LOAD_MS)

  const killed = await group.primary({ inSync: 3 })
  await group.strike(killed, { aheadMs: AHEAD_MS })
  const killedAtMs = performance.now()
  await group.primary({ inSync: 2 })
  await sleep(LOAD_MS)
  await customers.leave()

  const reserved = await customers.reserved()
  using carrier = new Carrier(group.carrierFile)
  const { answers, askedAgain, gaveUp } = customers
  const reigns = group.reigns()
  const failover = reigns.at(-1)
  const served = answers.find(({ reservation }) => reservation.by === failover?.primary)
  if (failover === undefined || served === undefined) throw new Error("nobody was served after the failover")
  return {
    replication,
    killed,
    failover,
    failoverGapMs: Math.round(served.atMs - killedAtMs),
    askedAgain,
    gaveUp,
    ...compare({
      replication,
      killed,
      reigns,
      acknowledged: answers.map(({ reservation }) => reservation),
      reserved,
      bookings: carrier.bookings(),
    }),
  }
}
