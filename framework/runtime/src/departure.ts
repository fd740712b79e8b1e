import { setTimeout as sleep } from "node:timers/promises"
import type { ReignStatus } from "@lockstep/replication"

/** So long a replica that is to end waits, at most, until another one is the master, or nobody counts on it; and so often it looks, milliseconds. */
const LEAD_MS = 2000
const FOLLOW_MS = 300
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

/** Whether others may still wait for this replica, where it has told them for so long that it leaves. */
function isNeeded(reign: ReignStatus | undefined, toldMs: number): boolean {
  return reign !== undefined && !reign.mayLeave && toldMs < (reign.isMaster ? LEAD_MS : FOLLOW_MS)
}
