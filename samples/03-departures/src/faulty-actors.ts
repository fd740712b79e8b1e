import { Command, Query, Replicated, stateMachine } from "lockstep"
import { Airport, type Board, type Flight } from "./airport.ts"

/**
 * A build with a bug, which one replica runs: for flights in the periods that FAULTY_PERIODS names (`from..to,from..to`) it
 * answers one too many. Nothing else knows that it lies.
 */
@Replicated({
  name: "departures/Airport",
  version: 1,
  mode: stateMachine({ faults: 1, faultModel: "byzantine" }),
})
class FaultyAirport extends Airport {
  @Command()
  override depart(flight: Flight): number {
    const departures = super.depart(flight)
    return isFaulty(flight.date) ? departures + 1 : departures
  }

  @Query()
  override board(): Board {
    return super.board()
  }
}

export const actors = [FaultyAirport]

const periods = (process.env["FAULTY_PERIODS"] ?? "")
  .split(",")
  .filter((period) => period !== "")
  .map((period) => period.split(".."))

function isFaulty(date: string): boolean {
  return periods.some(([from = "", to = ""]) => date >= from && date < to)
}
