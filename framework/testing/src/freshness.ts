import type { CallRecord } from "./caller.ts"

/**
 * A query that may be old by so much sees everything that was answered so long before it was called; and everything that its client was told
 * itself. By positions: that what it was answered is the state at its position is for others to check.
 */
export function checkFreshness(
  records: ReadonlyArray<CallRecord>,
  clocks: {
    /** By which share of a time a clock may be wrong. */
    readonly rateError: number
  },
): ReadonlyArray<string> {
  const answered = records.filter(({ output }) => output !== undefined)
  return answered.flatMap((query) => {
    if (typeof query.reads !== "object") return []
    const { reads, calledAtMs, seq = 0 } = query
    const boundMs = (Math.ceil(reads.maxStalenessMs) + 1) / (1 - clocks.rateError)
    const missed = answered.filter(
      (other) =>
        (other.seq ?? 0) > seq &&
        (other.returnedAtMs ?? Infinity) < calledAtMs - (other.client === query.client ? 0 : boundMs),
    )
    return missed
      .slice(0, 1)
      .map(
        (other) =>
          `${query.id} was called at ${calledAtMs.toFixed(1)} and answered as of ${seq}; ${other.id} was answered at ${other.returnedAtMs?.toFixed(1)} as of ${other.seq}`,
      )
  })
}
