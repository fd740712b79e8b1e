import { draw } from "./picture.ts"
import type { Table } from "./table.ts"

/** What a run of the bench found, as `--json` prints it. */
export interface Results {
  readonly settings: { readonly scale: string; readonly machine: string; readonly log: string }
  /** By subject. */
  readonly tables: Readonly<Record<string, Outcome>>
}

export type Outcome = Table | { readonly skipped: string }

/** One picture of all runs: subjects in their order. */
export function drawResults(runs: ReadonlyArray<Results>): string {
  const [first] = runs
  if (first === undefined) throw new Error("there are no results to draw")
  const charts = runs.flatMap(({ tables }) =>
    Object.values(tables).flatMap((table) => ("skipped" in table ? [] : (table.charts ?? []))),
  )
  const { machine, scale } = first.settings
  const subtitle = `${machine}${scale === "full" ? "" : `; a ${scale} run, nothing to quote`}`
  return draw({ title: "What Lockstep costs", subtitle }, charts)
}
