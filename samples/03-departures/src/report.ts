import type { TraceFiles } from "./tracing/session.ts"

/** What the run showed. `--json` prints it as it is. */
export interface Report {
  readonly ok: boolean
  readonly commands: number
  readonly seconds: number
  readonly commandsPerSecond: number
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number }
  /** The same, of commands that were issued one after the other. */
  readonly sequentialLatencyMs: { readonly p50: number; readonly p99: number }
  readonly phases: ReadonlyArray<PhaseReport>
  /** Votes that differed from the decision, by replica. */
  readonly dissents: Readonly<Record<string, number>>
  readonly longestGapMs: number
  /** What callers were told while two of three replicas were faulty. */
  readonly beyondTheLimit: {
    readonly calls: number
    readonly wrongAnswers: number
    readonly errors: Readonly<Record<string, number>>
    readonly example: string
    readonly answeredAfterRetry: number
  }
  readonly airports: { readonly compared: number; readonly different: ReadonlyArray<string> }
  /** Departures that were counted other than once. */
  readonly notExactlyOnce: ReadonlyArray<string>
  /** With `--trace-out`: where the spans are, and the page about three calls. */
  readonly traces?: TraceFiles
}

export interface PhaseReport {
  readonly phase: string
  readonly commands: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly longestGapMs: number
}

export function print(report: Report): string {
  const lines = [
    "",
    `  ${count(report.commands)} commands in ${report.seconds.toFixed(1)} s, each executed by three replicas and voted on`,
    `  latency under load   p50 ${ms(report.latencyMs.p50)}   p99 ${ms(report.latencyMs.p99)}`,
    `  latency one by one   p50 ${ms(report.sequentialLatencyMs.p50)}   p99 ${ms(report.sequentialLatencyMs.p99)}`,
    "",
    `  ${"".padEnd(44)}commands      per s        p50        p99   longest gap`,
    ...report.phases.map(
      (phase) =>
        `  ${phase.phase.padEnd(42)}${count(phase.commands).padStart(10)} ${count(Math.round(phase.commands / phase.seconds)).padStart(10)} ${ms(phase.p50Ms).padStart(10)} ${ms(phase.p99Ms).padStart(10)} ${ms(phase.longestGapMs).padStart(13)}`,
    ),
    "",
    `  votes that dissented           ${entries(report.dissents) || "none"}`,
    `  longest gap between answers    ${ms(report.longestGapMs)}`,
    "",
    `  with two of three replicas faulty, ${report.beyondTheLimit.calls} calls: ${report.beyondTheLimit.wrongAnswers} wrong answers, ${entries(report.beyondTheLimit.errors) || "no errors"}`,
    `    ${report.beyondTheLimit.example}`,
    `    ${report.beyondTheLimit.answeredAfterRetry} of ${report.beyondTheLimit.calls} were answered by retry() once the killed replica was back`,
    "",
    `  ${report.airports.compared} airports compared with a sequential computation: ${report.airports.different.length === 0 ? "all equal" : `DIFFERENT: ${report.airports.different.join(", ")}`}`,
    `  departures counted other than exactly once: ${report.notExactlyOnce.length === 0 ? "none" : report.notExactlyOnce.join(", ")}`,
    ...(report.traces === undefined
      ? []
      : [
          "",
          `  three calls, traced     ${report.traces.page}`,
          `  all sampled spans       ${report.traces.spans}`,
        ]),
    "",
    report.ok ? "  OK" : "  FAILED",
    "",
  ]
  return lines.join("\n")
}

/** The value below which this share of the sorted values lies. */
export function percentile(sorted: ReadonlyArray<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

function ms(value: number): string {
  return value < 10 ? `${value.toFixed(2)} ms` : `${Math.round(value)} ms`
}

function count(value: number): string {
  return value.toLocaleString("en-US")
}

function entries(record: Readonly<Record<string, number>>): string {
  return Object.entries(record)
    .map(([name, value]) => `${name}: ${count(value)}`)
    .join(", ")
}
