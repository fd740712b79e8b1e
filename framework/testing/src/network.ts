import type { Random } from "./random.ts"
import type { Schedule } from "./schedule.ts"

/** How messages fare. Drawn anew for each seed. */
export interface NetworkRates {
  /** Of an exponential distribution above a minimum of 0.1 ms. */
  readonly delayMeanMs: number
  readonly loss: number
  readonly duplication: number
  /** The share of messages that take a hundred times as long. */
  readonly straggling: number
}

export function drawRates(random: Random): NetworkRates {
  return {
    delayMeanMs: random.pick([0.2, 1, 5, 20]),
    loss: random.pick([0, 0, 0.01, 0.1]),
    duplication: random.pick([0, 0, 0.01, 0.1]),
    straggling: random.pick([0, 0, 0.02]),
  }
}

/** How a message travels: over a connection it arrives once at most, by itself it may also arrive twice. */
export type Transport = "connection" | "datagram"

/** Carries messages late, out of order, twice, or never. */
export class Network {
  readonly #schedule: Schedule
  readonly #random: Random
  readonly #rates: NetworkRates
  /** Directed pairs that are cut, and how many cuts lie on each. */
  readonly #cuts = new Map<string, number>()
  /** Messages that were lost, doubled or cut off. */
  readonly counts = { lost: 0, doubled: 0, cut: 0, delivered: 0 }
  #healed = false

  constructor(schedule: Schedule, random: Random, rates: NetworkRates) {
    this.#schedule = schedule
    this.#random = random
    this.#rates = rates
  }

  send(from: string, to: string, what: string, transport: Transport, deliver: () => void): void {
    if (this.isCut(from, to)) {
      this.counts.cut++
      return
    }
    if (!this.#healed && this.#random.chance(this.#rates.loss)) {
      this.counts.lost++
      return
    }
    this.#carry(from, to, what, deliver)
    if (transport === "datagram" && !this.#healed && this.#random.chance(this.#rates.duplication)) {
      this.counts.doubled++
      this.#carry(from, to, what, deliver)
    }
  }

  /** How long a message takes that is under way now. */
  delayMs(): number {
    const slow = !this.#healed && this.#random.chance(this.#rates.straggling) ? 100 : 1
    return 0.1 + this.#random.exponential(this.#rates.delayMeanMs) * slow
  }

  /** Messages in this direction are lost, also those that are under way. */
  cut(from: string, to: string): void {
    const pair = `${from}>${to}`
    this.#cuts.set(pair, (this.#cuts.get(pair) ?? 0) + 1)
  }

  mend(from: string, to: string): void {
    const pair = `${from}>${to}`
    const left = (this.#cuts.get(pair) ?? 0) - 1
    if (left > 0) this.#cuts.set(pair, left)
    else this.#cuts.delete(pair)
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`)
  }

  /** From now on messages are late at most. */
  heal(): void {
    this.#healed = true
    this.#cuts.clear()
  }

  #carry(from: string, to: string, what: string, deliver: () => void): void {
    this.#schedule.after(this.delayMs(), `${from}>${to} ${what}`, () => {
      if (this.isCut(from, to)) this.counts.cut++
      else {
        this.counts.delivered++
        deliver()
      }
    })
  }
}
