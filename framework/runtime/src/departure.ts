import { setTimeout as sleep } from "node:timers/promises"
import { isNeeded, type ReignStatus } from "@lockstep/replication"

/** So often a replica that is to end looks whether it may, milliseconds. */
const LOOK_AGAIN_MS = 5

/** Tells the others that this replica is to end, until they go on without it, where they can. */
export async function departure(seat: {
  /** Undefined where nobody counts on it. */
  readonly reign: () => ReignStatus | undefined
  readonly leave: () => void
}): Promise<void> {
  const sinceMs = performance.now()
  while (isNeeded(seat.reign(), performance.now() - sinceMs)) {
    seat.leave()
    await sleep(LOOK_AGAIN_MS)
  }
}
