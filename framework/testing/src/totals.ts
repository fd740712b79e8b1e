import type { Run } from "./run.ts"

/** Sums over many runs: what was done to the worlds, and what was looked at. */
export class Totals {
  seeds = 0
  virtualMs = 0
  entries = 0
  answered = 0
  failed = 0
  indeterminate = 0
  outOfSteps = 0
  /** Runs that were run twice, and had equal traces. */
  repeated = 0
  readonly checked: Record<string, number> = {}
  readonly faults: Record<string, number> = {}
  readonly purposes: Record<string, number> = {}
  /** What became of masters, where there are such. */
  readonly masters: Record<string, number> = {}

  add(run: Run): void {
    const { judgement, scenario } = run
    this.seeds++
    this.virtualMs += run.virtualMs
    this.entries += run.entries
    this.answered += judgement.answered
    this.failed += judgement.failed
    this.indeterminate += judgement.indeterminate
    this.outOfSteps += judgement.outOfSteps
    sum(this.checked, judgement.checked)
    sum(this.faults, run.faults)
    sum(this.purposes, { [scenario.purpose]: 1 })
    sum(this.masters, judgement.masters)
  }

  /** Adds what another process has summed. */
  merge(other: Totals): void {
    this.seeds += other.seeds
    this.virtualMs += other.virtualMs
    this.entries += other.entries
    this.answered += other.answered
    this.failed += other.failed
    this.indeterminate += other.indeterminate
    this.outOfSteps += other.outOfSteps
    this.repeated += other.repeated
    sum(this.checked, other.checked)
    sum(this.faults, other.faults)
    sum(this.purposes, other.purposes)
    sum(this.masters, other.masters)
  }
}

function sum(into: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(more)) into[name] = (into[name] ?? 0) + count
}
