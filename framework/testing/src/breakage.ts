import type { Random } from "./random.ts"

/** How the log breaks its promises, in a run whose point is that this is noticed. */
export const BROKEN_LOGS = ["lost-tail", "lost-middle", "rewritten", "recreated", "fork"] as const
export type BrokenLog = (typeof BROKEN_LOGS)[number]

/** How, when and for whom the log breaks its promises. */
export interface Breakage {
  readonly kind: BrokenLog
  readonly atMs: number
  /** The replica that reads something else than the others, where there is one. */
  readonly target: number
  /** Nothing can be appended afterwards, so that no new entry shows that old ones are gone. */
  readonly sealed: boolean
}

export function drawBreakage(
  random: Random,
  { durationMs, replicas }: { readonly durationMs: number; readonly replicas: number },
): Breakage {
  return {
    kind: random.pick(BROKEN_LOGS),
    atMs: random.integer(durationMs / 4, (durationMs * 3) / 4),
    target: random.integer(0, replicas - 1),
    sealed: random.chance(0.3),
  }
}
