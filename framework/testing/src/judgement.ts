import { judgeMaster } from "./master-judgement.ts"
import type { Simulation } from "./simulation.ts"
import { judgeVotes } from "./vote-judgement.ts"

/** A rule that a run broke. */
export interface Failure {
  /** Which rule: a name that stays, so that shrinking can tell one failure from another. */
  readonly rule: string
  readonly detail: string
}

/** What the checkers say of a run, and what they looked at. */
export interface Judgement {
  readonly failures: ReadonlyArray<Failure>
  readonly answered: number
  readonly failed: number
  readonly indeterminate: number
  /** Calls per checker. */
  readonly checked: {
    readonly order: number
    readonly linearizability: number
    readonly convergence: number
    readonly tail: number
    /** Queries that may be old. */
    readonly freshness?: number
  }
  /** What became of masters, where there are such. */
  readonly masters: Readonly<Record<string, number>>
  /** Keys whose history was too entangled for the step budget. */
  readonly outOfSteps: number
}

/** Judges a run that has ended. */
export function judge(run: Simulation): Judgement {
  return run.scenario.mode === "primary-backup" ? judgeMaster(run) : judgeVotes(run)
}
