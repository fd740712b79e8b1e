import type { Resident } from "./resident.ts"

/** What an actor in memory takes beside its state, about: objects, its place in a map and in here, its key. */
export const OVERHEAD_BYTES = 320

/**
 * Which actors are in memory although they are on the shelf too, in the order in which a checkpoint last held them, and how large
 * they are: those that have not been needed for longest leave first.
 */
export class Residents {
  readonly #bytesMax: number
  readonly #kept = new Set<Resident>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The checkpoint at this position holds this actor, with so many bytes. */
  kept(resident: Resident, bytes: number, seq: number): void {
    this.#forget(resident)
    resident.keptBytes = bytes + OVERHEAD_BYTES
    resident.keptSeq = seq
    this.#kept.add(resident)
    this.#bytes += resident.keptBytes
  }

  /** Makes room: lets go of actors that the checkpoint at this position, or an earlier one, holds. `leave` says whether one may go. */
  evict(seq: number, leave: (resident: Resident) => boolean): void {
    for (const resident of this.#kept) {
      if (this.#bytes <= this.#bytesMax || resident.keptSeq > seq) return
      if (leave(resident)) this.#forget(resident)
    }
  }

  #forget(resident: Resident): void {
    if (this.#kept.delete(resident)) this.#bytes -= resident.keptBytes
  }
}
