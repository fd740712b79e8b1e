import type { ReplicaId } from "@lockstep/core"
import type { ReignStatus } from "@lockstep/replication"
import type { SimulatedDisk } from "./disk.ts"
import type { SingleMaster } from "./single-master.ts"

/**
 * Looks into all disks whenever a master calls something acknowledged: it must be on its own, and on those of as many others as the class asks for,
 * or, where the class allows fewer and the log has said so, on so many.
 */
export class Custody {
  readonly broken: Array<string> = []
  readonly #setting: SingleMaster
  readonly #diskOf: (replica: ReplicaId) => SimulatedDisk | undefined
  /** What a master called acknowledged last, by epoch. */
  readonly #checked = new Map<number, number>()

  constructor(setting: SingleMaster, diskOf: (replica: ReplicaId) => SimulatedDisk | undefined) {
    this.#setting = setting
    this.#diskOf = diskOf
  }

  watch(replica: ReplicaId, reign: ReignStatus): void {
    const { epoch, committed, isMaster } = reign
    if (!isMaster) return
    const before = this.#checked.get(epoch)
    this.#checked.set(epoch, committed)
    // what it begins with was acknowledged by the one before
    if (before === undefined || committed <= before) return
    const others = reign.inSync.filter((other) => other !== replica)
    const holders = others.filter((other) => this.#holds(other, committed)).length
    if (!this.#holds(replica, committed))
      this.broken.push(`${replica} acknowledged ${committed}, which is not on its own disk`)
    if (holders < this.#needed(reign, others.length))
      this.broken.push(
        `${replica} acknowledged ${committed}, which is on the disks of ${holders} others only`,
      )
  }

  #needed(reign: ReignStatus, others: number): number {
    const { replication, acknowledgements, below } = this.#setting
    if (replication === "synchronous") return others
    if (replication === "asynchronous") return 0
    return below === "degrade" && reign.degraded ? reign.acknowledgements : acknowledgements
  }

  #holds(replica: ReplicaId, position: number): boolean {
    return (this.#diskOf(replica)?.lastPosition ?? 0) >= position
  }
}
