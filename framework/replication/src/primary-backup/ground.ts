import type { Life } from "@lockstep/core"
import type { ReplicaOptions, ReplicaOutput } from "../mode.ts"
import type { Past } from "../past.ts"
import type { Ledger } from "./ledger.ts"
import type { Rules } from "./mode.ts"
import type { Reigns } from "./reigns.ts"

/** What a replica has whether it is the primary or a backup. */
export interface Ground {
  readonly options: ReplicaOptions
  readonly rules: Rules
  readonly life: Life
  readonly past: Past
  readonly reigns: Reigns
  readonly ledger: Ledger
  /** Its process is to end. */
  isLeaving: boolean
  /** By the shell's clock, monotonic milliseconds. */
  nowMs: number
  /** Executions that were begun in this life, and commands that ended. */
  executions: number
  executed: number
  /** Positions that a later primary did not have, and that were let go of. */
  truncated: number
  /** Commands that were acknowledged by fewer backups than the class asks for. */
  degradedCommands: number
  /** Primaries that were elected, since this replica began, because the one before was silent. */
  failovers: number
  /** Where what it says is gathered. */
  readonly say: (...outputs: ReadonlyArray<ReplicaOutput>) => void
}
