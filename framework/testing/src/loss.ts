import type { CallRecord } from "./caller.ts"
import type { Proclamation } from "./chronicle.ts"
import type { Execution } from "./reference.ts"

/** Calls that were answered and are not in the history, or only because they were tried again after what they were told of was lost. */
export function lostCalls(
  records: ReadonlyArray<CallRecord>,
  executions: ReadonlyMap<string, ReadonlyArray<Pick<Execution, "seq">>>,
): ReadonlyArray<CallRecord> {
  return records.filter(({ id, output, reads, seq }) => {
    const isCommand = output !== undefined && reads === undefined
    return isCommand && executions.get(id)?.some((execution) => execution.seq === seq) !== true
  })
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
