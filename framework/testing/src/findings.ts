import type { CallRecord } from "./caller.ts"
import type { Operation } from "./history.ts"
import type { Failure } from "./judgement.ts"
import type { Verdict } from "./linearizability.ts"
import { CALLS_AFTER_HEALING, type Simulation } from "./simulation.ts"
import type { FinalCalls } from "./tail.ts"

/** Steps of the black-box checker per key: far more than a history of a run needs. */
const STEPS_MAX = 2_000_000

/** At most so many failures of one rule are told. */
const TOLD_MAX = 3

/** The rules that a run broke, as they are found. */
export class Findings {
  readonly failures: Array<Failure> = []

  found(rule: string, details: ReadonlyArray<string>): void {
    for (const detail of details.slice(0, TOLD_MAX)) this.failures.push({ rule, detail })
  }
}

/** Whether the black-box checker finds the history of a run right; undefined where the workload has no model. */
export function judgeHistory(run: Simulation, findings: Findings): Verdict | undefined {
  const verdict = run.workload.checkHistory?.(operationsOf(run), { stepsMax: STEPS_MAX })
  if (verdict?._tag === "NotLinearizable")
    findings.found("histories are linearizable", [
      `key ${verdict.key}: cannot place ${JSON.stringify(verdict.stuck, bigints)}`,
    ])
  return verdict
}

/** How many calls came to what. */
export function countCalls(records: ReadonlyArray<CallRecord>): {
  readonly answered: number
  readonly failed: number
  readonly indeterminate: number
} {
  const open = records.filter(({ output }) => output === undefined)
  const failed = open.filter(({ tookEffect }) => tookEffect === "no").length
  return { answered: records.length - open.length, failed, indeterminate: open.length - failed }
}

/** What replicas stopped for that broke an invariant. */
export function brokenInvariants(run: Simulation): ReadonlyArray<string> {
  return run.replicas.flatMap(({ replica, failure }) =>
    failure === undefined ? [] : [`${replica}: ${failure.message}`],
  )
}

/** The calls of a run as the black-box checker, or any other tool, reads them. */
export function operationsOf(run: Simulation): ReadonlyArray<Operation> {
  return run.records
    .filter(({ call, tookEffect }) => tookEffect !== "no" && !run.workload.unmodelled.has(call.member))
    .filter(({ reads }) => typeof reads !== "object") // those may miss something
    .map(({ caller, call, calledAtMs, returnedAtMs, output }) => ({
      client: caller,
      key: call.key,
      call: calledAtMs,
      return: returnedAtMs,
      input: [call.member, ...call.args],
      output: output === undefined ? undefined : "threw" in output ? { threw: output.threw } : output,
    }))
}

/** More clients than there may be sessions evict each other without end: they are promised nothing. */
export function finalCalls(run: Simulation): ReadonlyArray<FinalCalls> {
  if (run.scenario.sessionLimits.sessionsMax < run.scenario.clients) return []
  return run.callers.map(({ name }) => ({
    caller: name,
    answered: run.records.filter(
      ({ caller, returnedAtMs, output }) =>
        caller === name && output !== undefined && (returnedAtMs ?? 0) >= run.healedAtMs,
    ).length,
    wanted: CALLS_AFTER_HEALING,
  }))
}

/** Commands that replicas refused by a rule for classes: they are not deterministic, or not data. */
export function refused(records: ReadonlyArray<CallRecord>): ReadonlyArray<string> {
  return records.flatMap(({ call, output }) =>
    output !== undefined && "threw" in output && output.threw.startsWith("refused: ")
      ? [`${call.member}: ${output.threw.slice("refused: ".length)}`]
      : [],
  )
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value
}
