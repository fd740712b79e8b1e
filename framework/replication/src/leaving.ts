import type { ReignStatus } from "./reign.ts"

/** So long a replica that is to end waits, at most, until another one is the master, or nobody counts on it; milliseconds. */
export const LEAD_MS = 2000
const FOLLOW_MS = 300

/** Whether others may still wait for this replica, where it has told them for so long that it leaves. */
export function isNeeded(reign: ReignStatus | undefined, toldMs: number): boolean {
  return reign !== undefined && !reign.mayLeave && toldMs < (reign.isMaster ? LEAD_MS : FOLLOW_MS)
}
