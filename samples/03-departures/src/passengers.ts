import { setTimeout as sleep } from "node:timers/promises"
import type { Client } from "lockstep"
import { Airport, type Flight } from "./airport.ts"
import { percentile, type PhaseReport } from "./report.ts"

/** Streams flights to their airports, and notes how long each answer took, and what it was. */
export class Stream {
  readonly latencies: Array<number> = []
  readonly phases: Array<PhaseReport> = []
  /** The running number that each airport gave each of its departures. */
  readonly numbers = new Map<string, Array<number>>()
  readonly #client: Client
  readonly #onProgress: (phase: string, done: number) => void
  #done = 0

  constructor(client: Client, onProgress: (phase: string, done: number) => void) {
    this.#client = client
    this.#onProgress = onProgress
  }

  get longestGapMs(): number {
    return Math.max(...this.phases.map((phase) => phase.longestGapMs))
  }

  /** Issues every flight, with this many calls open at a time, or at this many a second. */
  async run(
    phase: string,
    flights: ReadonlyArray<Flight>,
    pace: { readonly inFlight: number; readonly perSecond?: number },
  ): Promise<void> {
    const latencies: Array<number> = []
    const start = performance.now()
    let last = start
    let longestGapMs = 0
    let next = 0
    const caller = async (): Promise<void> => {
      for (let flight = flights[next++]; flight !== undefined; flight = flights[next++]) {
        const due = pace.perSecond === undefined ? 0 : start + ((next - 1) / pace.perSecond) * 1000
        let issued = performance.now()
        for (; issued < due; issued = performance.now()) await sleep(Math.max(1, due - issued))
        const number = await this.#client.actor(Airport, flight.origin).depart(flight)
        const answered = performance.now()
        latencies.push(answered - issued)
        longestGapMs = Math.max(longestGapMs, answered - Math.max(last, issued))
        last = answered
        this.record(flight, number)
        this.#onProgress(phase, ++this.#done)
      }
    }
    await Promise.all(Array.from({ length: pace.inFlight }, caller))
    const seconds = (performance.now() - start) / 1000
    this.latencies.push(...latencies)
    latencies.sort((a, b) => a - b)
    this.phases.push({
      phase,
      commands: flights.length,
      seconds,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
      longestGapMs,
    })
  }

  record(flight: Flight, number: number): void {
    const numbers = this.numbers.get(flight.origin)
    if (numbers === undefined) this.numbers.set(flight.origin, [number])
    else numbers.push(number)
  }

  /** Airports whose departures did not get the numbers 1, 2, 3, … each exactly once. */
  notExactlyOnce(): ReadonlyArray<string> {
    return [...this.numbers]
      .filter(([, numbers]) => numbers.toSorted((a, b) => a - b).some((number, i) => number !== i + 1))
      .map(([airport]) => airport)
  }
}
