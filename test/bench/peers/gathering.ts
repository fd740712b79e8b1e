interface Waiting<Call, Answer> {
  readonly call: Call
  readonly resolve: (answer: Answer) => void
  readonly reject: (cause: unknown) => void
}

/** Adds one each time: what is called while an add is under way is added up, and is the next one. `add` resolves with what the counter is then. */
export function combined(add: (amount: number) => Promise<number>): () => Promise<number> {
  const group = new Gathering(Infinity, async (calls: ReadonlyArray<number>) => {
    const value = await add(calls.length)
    return calls.map((_, i) => value - calls.length + 1 + i)
  })
  return () => group.call(1)
}

/**
 * Gathers the calls that come while a group is under way into the next group, so that they share what a group costs. `carryOut`
 * answers each call of a group, in its order.
 */
export class Gathering<Call, Answer> {
  readonly #callsMax: number
  readonly #carryOut: (calls: ReadonlyArray<Call>) => Promise<ReadonlyArray<Answer>>
  #waiting: Array<Waiting<Call, Answer>> = []
  #busy = false

  constructor(callsMax: number, carryOut: (calls: ReadonlyArray<Call>) => Promise<ReadonlyArray<Answer>>) {
    this.#callsMax = callsMax
    this.#carryOut = carryOut
  }

  call(call: Call): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ call, resolve, reject })
      if (this.#busy) return
      this.#busy = true
      // what else is called in this turn belongs to the same group
      queueMicrotask(() => void this.#work())
    })
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, this.#callsMax)
      try {
        const answers = await this.#carryOut(group.map(({ call }) => call))
        for (const [i, { resolve, reject }] of group.entries()) {
          const answer = answers[i]
          if (answer === undefined) reject(new Error("a call of a group had no answer"))
          else resolve(answer)
        }
      } catch (cause) {
        for (const { reject } of group) reject(cause)
      }
    }
    this.#busy = false
  }
}
