/** What an actor in memory takes beside its state, about: an object, its place in two maps, its key. */
const OVERHEAD_BYTES = 512

/**
 * Which actors are in memory although they are on the shelf too, in the order in which a checkpoint last held them, and how large
 * they are: those that have not been needed for longest leave first.
 */
export class Residents {
  readonly #bytesMax: number
  readonly #residents = new Map<string, Kept>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The checkpoint at this position holds this actor, with so many bytes. */
  kept(type: string, key: string, bytes: number, seq: number): void {
    const id = `${type}\0${key}`
    this.#forget(id)
    this.#residents.set(id, { type, key, seq, bytes: bytes + OVERHEAD_BYTES })
    this.#bytes += bytes + OVERHEAD_BYTES
  }

  /** Makes room: lets go of actors that the checkpoint at this position, or an earlier one, holds. `leave` says whether one may go. */
  evict(seq: number, leave: (type: string, key: string) => boolean): void {
    for (const [id, resident] of this.#residents) {
      if (this.#bytes <= this.#bytesMax || resident.seq > seq) return
      if (leave(resident.type, resident.key)) this.#forget(id)
    }
  }

  #forget(id: string): void {
    this.#bytes -= this.#residents.get(id)?.bytes ?? 0
    this.#residents.delete(id)
  }
}

interface Kept {
  readonly type: string
  readonly key: string
  readonly bytes: number
  /** The last checkpoint that held it. */
  readonly seq: number
}
