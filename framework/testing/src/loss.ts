import type { CallRecord } from "./caller.ts"
import type { Proclamation } from "./chronicle.ts"

/** Calls that were answered and are not in the history. */
export function lostCalls(
  records: ReadonlyArray<CallRecord>,
  executions: ReadonlyMap<string, unknown>,
): ReadonlyArray<CallRecord> {
  return records.filter(
    ({ id, output, reads }) => output !== undefined && reads === undefined && !executions.has(id),
  )
}

/** What is lost stood where a failover said that something may be lost: above what the new master had, and within the window. */
export function checkLoss(
  lost: ReadonlyArray<Pick<CallRecord, "id" | "seq">>,
  proclamations: ReadonlyArray<Pick<Proclamation, "report">>,
): ReadonlyArray<string> {
  const windows = new Map(proclamations.map(({ report }) => [report.epoch, report]))
  return lost.flatMap(({ id, seq = 0 }) => {
    const isTold = [...windows.values()].some(
      ({ position, lossWindow }) => seq > position && seq <= position + lossWindow,
    )
    return isTold ? [] : [`${id} was acknowledged at ${seq} and is lost, and no failover said so`]
  })
}
