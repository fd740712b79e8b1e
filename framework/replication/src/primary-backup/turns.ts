/** What waits for its turn on some actors. */
export interface Turn {
  readonly actors: ReadonlyArray<{ readonly id: string }>
  begin(): void
}

/** One execution at a time for each actor, in the order of arrival; those that share no actor do not wait for each other. */
export class Turns {
  readonly #queues = new Map<string, Array<Waiting>>()
  /** The only one that has not ended. It stands in no queue until another one comes: where commands are synchronous, none does. */
  #alone: Waiting | undefined

  /** Begins now, or when all that came before on one of its actors has ended. */
  add(turn: Turn): { end(): void } {
    const waiting: Waiting = { turn, blockedBy: 0 }
    const end = (): void => this.#end(waiting)
    const isAlone = this.#alone === undefined && this.#queues.size === 0
    if (this.#alone !== undefined) this.#enqueue(this.#alone)
    this.#alone = isAlone ? waiting : undefined
    if (!isAlone) this.#enqueue(waiting)
    if (waiting.blockedBy === 0) turn.begin()
    return { end }
  }

  #enqueue(waiting: Waiting): void {
    for (const { id } of waiting.turn.actors) {
      const queue = this.#queues.get(id)
      if (queue === undefined) this.#queues.set(id, [waiting])
      else {
        queue.push(waiting)
        waiting.blockedBy++
      }
    }
  }

  #end(ended: Waiting): void {
    if (ended === this.#alone) {
      this.#alone = undefined
      return
    }
    const ready: Array<Waiting> = []
    for (const { id } of ended.turn.actors) {
      const queue = this.#queues.get(id)
      queue?.shift()
      const [next] = queue ?? []
      if (next === undefined) this.#queues.delete(id)
      else if (--next.blockedBy === 0) ready.push(next)
    }
    for (const next of ready) next.turn.begin()
  }
}

interface Waiting {
  readonly turn: Turn
  blockedBy: number
}
