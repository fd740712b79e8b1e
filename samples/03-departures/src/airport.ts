import { Command, Query, Replicated, stateMachine } from "lockstep"

export interface Flight {
  /** As in the data: `2001/01/01 00:47`, local time of departure. */
  readonly date: string
  /** Minutes of delay; negative where the flight was early. */
  readonly delay: number
  /** Miles. */
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

export interface Board {
  readonly departures: number
  /** Flights that left 15 minutes late or more. */
  readonly delayed: number
  readonly delayMinutes: number
  readonly farthest: number
  readonly destinations: ReadonlyMap<string, number>
  /** The latest flights, latest first. */
  readonly latest: ReadonlyArray<Flight>
}

const LATEST = 8

/** The departures board of one airport. */
@Replicated({
  name: "departures/Airport",
  version: 1,
  mode: stateMachine({ faults: 1, faultModel: "byzantine" }),
})
export class Airport {
  departures = 0
  delayed = 0
  delayMinutes = 0
  farthest = 0
  destinations = new Map<string, number>()
  latest: Array<Flight> = []

  /** Puts a flight on the board. Returns how many there have been. */
  @Command()
  depart(flight: Flight): number {
    this.departures += 1
    if (flight.delay >= 15) this.delayed += 1
    this.delayMinutes += flight.delay
    this.farthest = Math.max(this.farthest, flight.distance)
    this.destinations.set(flight.destination, (this.destinations.get(flight.destination) ?? 0) + 1)
    const place = this.latest.findIndex((other) => isLater(flight, other))
    this.latest.splice(place === -1 ? this.latest.length : place, 0, flight)
    this.latest.length = Math.min(this.latest.length, LATEST)
    return this.departures
  }

  @Query()
  board(): Board {
    const { departures, delayed, delayMinutes, farthest, destinations, latest } = this
    return { departures, delayed, delayMinutes, farthest, destinations, latest }
  }
}

/** A total order, so the board does not depend on the order in which flights were put on it. */
function isLater(a: Flight, b: Flight): boolean {
  if (a.date !== b.date) return a.date > b.date
  if (a.destination !== b.destination) return a.destination > b.destination
  if (a.delay !== b.delay) return a.delay > b.delay
  return a.distance > b.distance
}
