import { encode } from "@lockstep/core"
import type { CallRecord } from "./caller.ts"
import type { Execution } from "./reference.ts"

/**
 * The checker by log position: in one pass over any number of calls it checks that
 * - what a caller was answered is what a sequential reading of the log gives at that position,
 * - a call that was answered, or told that it took effect, was executed exactly once, and one that was told that it did not, never,
 * - real time is respected: a call that was answered before another began stands before it in the log.
 *
 * It needs the log, and so shares an idea of it with what it judges; the black-box checker does not.
 */
export function checkLogOrder(
  records: ReadonlyArray<CallRecord>,
  executions: ReadonlyMap<string, ReadonlyArray<Execution>>,
): ReadonlyArray<string> {
  return [...checkAnswers(records, executions), ...checkRealTime(records, executions)]
}

/** The same without real time. */
export function checkAnswers(
  records: ReadonlyArray<CallRecord>,
  executions: ReadonlyMap<string, ReadonlyArray<Execution>>,
): ReadonlyArray<string> {
  return records.flatMap((record) => checkAnswer(record, executions.get(record.id) ?? []))
}

function checkAnswer(record: CallRecord, executed: ReadonlyArray<Execution>): ReadonlyArray<string> {
  const { id, output, tookEffect } = record
  const [first, second] = executed
  if (second !== undefined)
    return [`${id} was executed at ${executed.map(({ seq }) => seq).join(" and at ")}`]
  if (first === undefined) {
    if (output !== undefined) return [`${id} was answered ${show(output)} and never executed`]
    return tookEffect === "yes" ? [`${id} was said to take effect, and was never executed`] : []
  }
  if (tookEffect === "no") return [`${id} was said not to take effect, and was executed at ${first.seq}`]
  if (output === undefined) return []
  if (record.seq !== first.seq)
    return [`${id} was said to stand at ${record.seq}, and stands at ${first.seq}`]
  if (encode(output).equals(encode(first.output))) return []
  return [
    `${id} (${record.call.member}) was answered ${show(output)}; right at ${first.seq} is ${show(first.output)}`,
  ]
}

/** Calls by the time of their call; the latest position that was answered before it. */
function checkRealTime(
  records: ReadonlyArray<CallRecord>,
  executions: ReadonlyMap<string, ReadonlyArray<Execution>>,
): ReadonlyArray<string> {
  const placed = records.flatMap((record) => {
    const [execution] = executions.get(record.id) ?? []
    return execution === undefined || record.returnedAtMs === undefined
      ? []
      : [{ record, position: execution.seq * 1e6 + execution.index, returnedAtMs: record.returnedAtMs }]
  })
  const byReturn = placed.toSorted((a, b) => a.returnedAtMs - b.returnedAtMs)
  const wrong: Array<string> = []
  let latest = { position: 0, id: "" }
  let next = 0
  for (const { record, position } of placed.toSorted((a, b) => a.record.calledAtMs - b.record.calledAtMs)) {
    for (
      let done = byReturn[next];
      done !== undefined && done.returnedAtMs < record.calledAtMs;
      done = byReturn[++next]
    )
      if (done.position > latest.position) latest = { position: done.position, id: done.record.id }
    if (position < latest.position)
      wrong.push(`${record.id} began after ${latest.id} was answered, and stands before it`)
  }
  return wrong
}

function show(value: unknown): string {
  const text =
    JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? `${item}n` : item)) ?? "nothing"
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`
}
