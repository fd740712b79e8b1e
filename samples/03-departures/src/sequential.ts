import { isDeepStrictEqual } from "node:util"
import type { Board, Flight } from "./airport.ts"

/** Every airport's board by plain code over the whole file: no actors, no log, no replicas. */
export function sequentialBoards(flights: ReadonlyArray<Flight>): ReadonlyMap<string, Board> {
  const byOrigin = Map.groupBy(flights, (flight) => flight.origin)
  return new Map([...byOrigin].map(([origin, departing]) => [origin, boardOf(departing)]))
}

/** The same board, in whatever order its destinations were first served. */
export function sameBoard(a: Board, b: Board): boolean {
  return isDeepStrictEqual(sorted(a), sorted(b))
}

function sorted(board: Board) {
  return {
    ...board,
    destinations: [...board.destinations].toSorted(([left], [right]) => compare(left, right)),
  }
}

function boardOf(flights: ReadonlyArray<Flight>): Board {
  const counts = Map.groupBy(flights, (flight) => flight.destination)
  const latest = flights
    .toSorted(
      (a, b) =>
        compare(b.date, a.date) ||
        compare(b.destination, a.destination) ||
        b.delay - a.delay ||
        b.distance - a.distance,
    )
    .slice(0, 8)
  return {
    departures: flights.length,
    delayed: flights.filter((flight) => flight.delay >= 15).length,
    delayMinutes: flights.reduce((sum, flight) => sum + flight.delay, 0),
    farthest: Math.max(...flights.map((flight) => flight.distance)),
    destinations: new Map([...counts].map(([destination, to]) => [destination, to.length])),
    latest,
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
