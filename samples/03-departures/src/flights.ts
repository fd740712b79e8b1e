import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import type { Flight } from "./airport.ts"

/** The 20,000 real flights of the npm package vega-datasets: American departures of early 2001, in order of time. */
export function readFlights(): ReadonlyArray<Flight> {
  // the package exports only its loader, which fetches from the network: the data lies beside it
  const loader = createRequire(import.meta.url).resolve("vega-datasets")
  const file = join(
    loader.slice(0, loader.lastIndexOf("vega-datasets")),
    "vega-datasets/data/flights-20k.json",
  )
  return JSON.parse(readFileSync(file, "utf8")) as ReadonlyArray<Flight> // the file is part of a pinned package
}
