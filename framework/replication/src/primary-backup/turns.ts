/** What waits for its turn on some actors. */
export interface Turn {
  readonly actors: ReadonlyArray<string>
  begin(): void
}

/** One execution at a time for each actor, in the order of arrival; those that share no actor do not wait for each other. */
export class Turns {
  readonly #queues = new Map<string, Array<Waiting>>()

  /** Begins now, or when all that came before on one of its actors has ended. */
  add(turn: Turn): { end(): void } {
    const waiting: Waiting = { turn, blockedBy: 0 }
    for (const actor of turn.actors) {
      const queue = this.#queues.get(actor)
      if (queue === undefined) this.#queues.set(actor, [waiting])
      else {
        queue.push(waiting)
        waiting.blockedBy++
      }
    }
    if (waiting.blockedBy === 0) turn.begin()
    return { end: () => this.#end(waiting) }
  }

  #end({ turn }: Waiting): void {
    const ready: Array<Waiting> = []
    for (const actor of turn.actors) {
      const queue = this.#queues.get(actor)
      queue?.shift()
      const [next] = queue ?? []
      if (next === undefined) this.#queues.delete(actor)
      else if (--next.blockedBy === 0) ready.push(next)
    }
    for (const next of ready) next.turn.begin()
  }
}

interface Waiting {
  readonly turn: Turn
  blockedBy: number
}
