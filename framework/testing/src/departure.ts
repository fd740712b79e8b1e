import { isNeeded } from "@lockstep/replication"
import type { SimulatedReplica } from "./replica.ts"
import type { Schedule } from "./schedule.ts"

/** How often it says so, milliseconds. (In production, every 5.) */
const SAY_AGAIN_MS = 20

/** A replica is to end. As in production, it tells the others until it is not needed; unless somebody's patience ends before, and it is killed. */
export function depart(
  replica: SimulatedReplica,
  options: { readonly schedule: Schedule; readonly patienceMs: number; readonly ended: () => void },
): void {
  const { schedule, patienceMs, ended } = options
  const sinceMs = schedule.nowMs
  const say = (): void => {
    // something else has killed it
    if (replica.protocol === undefined) return ended()
    const toldMs = schedule.nowMs - sinceMs
    if (replica.isUp && (toldMs >= patienceMs || !isNeeded(replica.protocol.status.reign, toldMs))) {
      replica.crash()
      return ended()
    }
    if (replica.isUp) replica.wish({ _tag: "Leave" })
    schedule.after(SAY_AGAIN_MS, `${replica.replica} leaves`, say)
  }
  say()
}
