import type { Check } from "../verdict.ts"
import type { Report } from "./run.ts"

/** The report, for people. */
export function table({ strikes, operations, windows, events, ...rest }: Report): string {
  const reported = windows.reduce((sum, { window }) => sum + window, 0)
  const times = Object.values(strikes).reduce((sum, kind) => sum + kind.times, 0)
  const { acknowledged, lost, reads, undecided, retried, unknown, refused } = operations
  const lines = [
    "",
    `${times} strikes on the primary of a group that is ${rest.replication}, in ${rest.seconds} s; ${rest.servers} servers; ${rest.reigns} reigns`,
    "",
    "  strike        times  longest time without an answered write: median     p99     max",
    ...Object.entries(strikes).map(
      ([kind, { times: count, medianMs, p99Ms, maxMs }]) =>
        `  ${kind.padEnd(12)}  ${String(count).padStart(5)}  ${ms(medianMs).padStart(46)} ${ms(p99Ms).padStart(7)} ${ms(maxMs).padStart(7)}`,
    ),
    "",
    `  writes: ${acknowledged} acknowledged, ${lost} of them lost; ${windows.length} failovers reported ${reported} that may be lost, at most`,
    `  calls: ${undecided} ended undecided, ${retried} times asked for again, ${unknown} left unknown; ${refused} refused (not executed); ${reads} reads`,
    `  replicas: ${counted(events)}`,
    "",
    ...rest.checks.flatMap(verdictOf),
  ]
  return `${lines.join("\n")}\n`
}

/** One rule, and what broke it. */
export function verdictOf({ rule, judged, broken }: Check): ReadonlyArray<string> {
  return [
    `  ${broken.length === 0 ? "holds " : "BROKEN"}  ${rule} (${judged})`,
    ...broken.slice(0, 10).map((detail) => `            ${detail}`),
  ]
}

/** "restored 3, installed 1". */
export function counted(counts: Readonly<Record<string, number>>): string {
  const all = Object.entries(counts).map(([name, times]) => `${name} ${times}`)
  return all.length === 0 ? "nothing" : all.join(", ")
}

function ms(time: number): string {
  return `${time} ms`
}
