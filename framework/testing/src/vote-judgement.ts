import {
  Diverged,
  type LockstepError,
  NoQuorum,
  OutcomeUnknown,
  Overloaded,
  SessionExpired,
} from "@lockstep/core"
import { unnoticed } from "./broken-log.ts"
import type { CallRecord } from "./caller.ts"
import { checkConvergence } from "./convergence.ts"
import {
  brokenInvariants,
  countCalls,
  finalCalls,
  Findings,
  judgeHistory,
  operationsOf,
  refused,
} from "./findings.ts"
import type { Judgement } from "./judgement.ts"
import { checkLogOrder } from "./order.ts"
import { Reference } from "./reference.ts"
import type { Scenario } from "./scenario.ts"
import type { Simulation } from "./simulation.ts"
import { checkTail } from "./tail.ts"

/** Judges a run of the state machine mode. */
export function judgeVotes(run: Simulation): Judgement {
  const { scenario, records } = run
  const findings = new Findings()
  const survives = scenario.purpose === "survive"
  const isWhole = scenario.purpose !== "broken-log"

  findings.found("no invariant of the framework is broken", brokenInvariants(run))
  if (survives) findings.found("every command may be replicated", refused(records))
  findings.found("correct replicas agree at every position", run.agreement.disagreements)
  if (isWhole) {
    const reference = referenceOf(run)
    findings.found("every answer is the log's, once", checkLogOrder(records, reference.executions))
    for (const { invariant, seq, key } of reference.broken.slice(0, 1))
      findings.found(`the class's own invariant: ${invariant}`, [
        `actor ${JSON.stringify(key)} after position ${seq}`,
      ])
    if (survives)
      findings.found(
        "nobody halts at a log that is whole",
        run.replicas.flatMap(({ replica, halts }, i) =>
          (run.isLiar(i) || run.hasFlipped(i) ? [] : halts).map(
            ({ reason, detail }) => `${replica}: ${reason}: ${detail}`,
          ),
        ),
      )
  } else {
    findings.found("a broken log is noticed", unnoticed(run))
    findings.found("who halted begins anew where f+1 others go on", stranded(run))
  }
  const linearizable = judgeHistory(run, findings)
  findings.found("errors are ones that the faults explain", unexplained(records, scenario))
  if (survives) {
    findings.found("a replica whose state is wrong stops", unstopped(run))
    findings.found(
      "correct replicas converge",
      checkConvergence(finalStates(run), { lastSeq: run.log.entries().length }),
    )
    findings.found("everybody is served after the last fault", checkTail(finalCalls(run)))
    findings.found("a replica that was wrong heals itself", unhealed(run))
    findings.found("a run gets something done", idle(run))
  }
  return {
    failures: findings.failures,
    ...countCalls(records),
    checked: {
      order: isWhole ? records.length : 0,
      linearizability: linearizable === undefined ? 0 : operationsOf(run).length,
      convergence: survives ? run.log.entries().length : 0,
      tail: survives ? run.callers.length : 0,
    },
    masters: {},
    outOfSteps: linearizable?._tag === "OutOfSteps" ? 1 : 0,
  }
}

export function referenceOf(run: Simulation): Reference {
  const reference = new Reference({
    builds: run.builds,
    invariants: run.workload.invariants,
    sessionsMax: run.scenario.sessionLimits.sessionsMax,
  })
  reference.replay(run.log.entries())
  return reference
}

/** A replica that f+1 others contradict on a checkpoint must not go on, whatever it says. */
function unstopped(run: Simulation): ReadonlyArray<string> {
  return run.agreement.wrong.flatMap(([index, seq]) => {
    const replica = run.replicas[index]
    const isStable = (replica?.protocol?.status.stable ?? 0) >= seq
    return replica === undefined || !isStable || replica.halts.length > 0
      ? []
      : [`${replica.replica} goes on although its checkpoint at ${seq} is wrong, and a right one is stable`]
  })
}

/** Once the others have shown it its error, it votes again: with a state that they agree with. */
function unhealed(run: Simulation): ReadonlyArray<string> {
  const entries = run.log.entries().length
  return run.replicas.flatMap(({ replica, protocol, repairs, repairedAtSeq }, i) => {
    const hadTime = entries - repairedAtSeq > 20 * run.scenario.checkpointEveryBatches
    return run.hasFlipped(i) && repairs > 0 && hadTime && protocol?.status.onProbation !== false
      ? [`${replica} is still on probation`]
      : []
  })
}

/** Of correct replicas, and of those that have healed themselves. (One that is wrong may be so until a checkpoint shows it.) */
function finalStates(run: Simulation) {
  return run.replicas.flatMap(({ replica, protocol }, i) =>
    run.isLiar(i) || protocol === undefined || (run.hasFlipped(i) && run.replicas[i]?.repairs === 0)
      ? []
      : [
          {
            replica,
            applied: protocol.status.applied,
            chain: protocol.status.chain,
            stateDigest: protocol.status.stateDigest(),
          },
        ],
  )
}

/** A floor of answered calls while the faults last: a run in which nothing happens finds nothing. */
function idle(run: Simulation): ReadonlyArray<string> {
  const { events, changes, upgrade, durationMs } = run.scenario
  const answered = run.records.filter(
    ({ returnedAtMs }) => returnedAtMs !== undefined && returnedAtMs < run.healedAtMs,
  ).length
  const cutOffMs = events
    .filter(({ kind }) => CUTS_OFF.has(kind))
    .map((fault): Pick<typeof fault, "atMs" | "durationMs"> => fault)
    // from its entry on until enough replicas have the next build
    .concat(upgrade === undefined ? [] : [{ atMs: upgrade.atMs, durationMs }])
    .concat(changes.map(({ atMs, copiedAfterMs }) => ({ atMs, durationMs: copiedAfterMs })))
    .reduce((sum, fault) => sum + Math.min(4 * fault.durationMs, durationMs - fault.atMs), 0)
  // where all who are right are needed, any of them may be waited for as long as a message may be late: seconds
  const { liars, faults, network } = run.scenario
  const mayWait = network.straggling > 0 && liars.length >= faults
  const floor = cutOffMs < durationMs / 10 && !mayWait ? run.clients.length : 0
  return answered < floor
    ? [`${answered} calls were answered while the faults lasted, fewer than ${floor}`]
    : []
}

/** While these last, nobody can be answered. */
const CUTS_OFF: ReadonlySet<string> = new Set(["log-away", "log-flaps", "log-full", "client-isolated"])

/** Which errors a run may show, given what was done to it. */
function unexplained(records: ReadonlyArray<CallRecord>, scenario: Scenario): ReadonlyArray<string> {
  const happened = new Set<string>(scenario.events.map(({ kind }) => kind))
  const { network, sessionLimits, purpose } = scenario
  const logFails = ["log-away", "log-flaps", "log-full", "log-silent", "client-isolated"].some((kind) =>
    happened.has(kind),
  )
  // while callers cannot read who votes, nobody whom they believe answers them
  const isLate = scenario.changes.some(({ copiedAfterMs }) => copiedAfterMs > scenario.deadlineMs / 4)
  const waits = scenario.upgrade !== undefined // for the next build
  const networkFails =
    waits || isLate || network.loss > 0 || network.straggling > 0 || scenario.deadlineMs < 5000
  const evicts = sessionLimits.sessionsMax < 100
  const isExplained = (error: LockstepError): boolean => {
    if (purpose !== "survive") return true
    if (error instanceof Diverged) return false
    if (error instanceof SessionExpired) return evicts || logFails || networkFails
    if (error instanceof NoQuorum) return logFails || networkFails || evicts
    // clients that evict each other's sessions do not get to send
    if (error instanceof Overloaded && sessionLimits.sessionsMax < scenario.clients) return true
    return (error instanceof OutcomeUnknown || error instanceof Overloaded) && (logFails || networkFails)
  }
  return records.flatMap(({ id, errors }) =>
    errors.filter((error) => !isExplained(error)).map((error) => `${id}: ${error.name}: ${error.message}`),
  )
}

/** Replicas that stay halted although f+1 others have executed more: those prove that the log can be read. */
function stranded(run: Simulation): ReadonlyArray<string> {
  return run.replicas.flatMap(({ replica, protocol, repairs }) => {
    const { halted, applied = 0 } = protocol?.status ?? {}
    const ahead = run.replicas.filter(({ protocol: other }) => {
      const status = other?.status
      return status !== undefined && status.halted === undefined && status.applied > applied
    })
    const isFinal = halted === undefined || halted.reason === "log-recreated" || repairs > 0
    return isFinal || ahead.length <= run.scenario.faults ? [] : [`${replica} stays halted at ${applied}`]
  })
}
