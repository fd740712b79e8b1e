import type { Digest } from "@lockstep/core"

/** Why a replica halted. */
export interface HaltReport {
  readonly reason:
    | "log-recreated"
    | "log-gap"
    | "log-regression"
    | "log-rewritten"
    | "log-lost-tail"
    | "log-forked"
    | "state-diverged"
    | "store-damaged"
    | "wrong-build"
  readonly detail: string
  readonly applied: number
  readonly chain: Digest
}
