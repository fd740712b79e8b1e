import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type { Flight } from "./airport.ts"

/** The 20,000 real flights of the npm package vega-datasets: American departures of early 2001, in order of time. */
export function readFlights(): ReadonlyArray<Flight> {
  const file = createRequire(import.meta.url).resolve("vega-datasets/data/flights-20k.json")
  return JSON.parse(readFileSync(file, "utf8")) as ReadonlyArray<Flight> // the file is part of a pinned package
}
