import { define } from "@lockstep/actor"
import {
  Diverged,
  type LockstepError,
  NotEnoughReplicas,
  SESSION_LIMITS,
  SessionExpired,
} from "@lockstep/core"
import { unnoticed } from "./broken-log.ts"
import type { CallRecord } from "./caller.ts"
import { historyUpTo, type Proclamation } from "./chronicle.ts"
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
import { checkFreshness } from "./freshness.ts"
import type { Judgement } from "./judgement.ts"
import { checkLoss, lostCalls } from "./loss.ts"
import { checkOneMaster, checkSuccession } from "./masters.ts"
import { checkAnswers, checkLogOrder } from "./order.ts"
import { type Replayed, replay } from "./replay.ts"
import type { Scenario } from "./scenario.ts"
import type { Simulation } from "./simulation.ts"
import { clockErrors } from "./single-master.ts"
import { checkTail } from "./tail.ts"

/** Judges a run of the primary-backup mode. */
export function judgeMaster(run: Simulation): Judgement {
  const { scenario, records, chronicle } = run
  const findings = new Findings()
  const survives = scenario.purpose === "survive"

  findings.found("no invariant of the framework is broken", brokenInvariants(run))
  findings.found("there is one master in an epoch", checkOneMaster(proclamationsOf(run)))
  if (scenario.purpose === "broken-log") findings.found("a broken log is noticed", unnoticed(run))
  else {
    findings.found("replicas that read one log agree on it", run.agreement.disagreements)
    findings.found("a record has one history, everywhere", chronicle.disagreements)
    findings.found("no command stands twice in a history", doubled(run))
    findings.found("what is acknowledged is on as many disks as it should be", run.custody?.broken ?? [])
  }
  const lost = survives ? judgeAnswers(run, findings) : []
  // an old copy of a disk may hold what was lost with an earlier primary, and bring it back
  const mayReturn =
    scenario.singleMaster?.replication === "asynchronous" && (run.nemesis.counts["disk-rolled-back"] ?? 0) > 0
  const isWhole = survives && lost.length === 0 && !mayReturn
  const linearizable = isWhole ? judgeHistory(run, findings) : undefined
  if (survives) {
    findings.found("every command may be replicated", refused(records))
    if (!mayReturn)
      findings.found(
        "what a master begins with is a prefix of the history",
        checkSuccession(chronicle.reigns, chronicle.proclamations, {
          // of those who hold all that was acknowledged, also one that was not heard of at an election may be the next one
          mayPassOver: scenario.singleMaster?.replication !== "asynchronous",
        }),
      )
    findings.found("nobody halts at a log that is whole", halted(run))
    findings.found("errors are ones that the faults explain", unexplained(records, scenario))
    findings.found("whoever has no vote is let go", voteless(run))
    findings.found("replicas converge", checkConvergence(finalStates(run), { lastSeq: committedOf(run) }))
    findings.found("everybody is served after the last fault", checkTail(finalCalls(run)))
    findings.found("a run gets something done", idle(run))
  }
  return {
    failures: findings.failures,
    ...countCalls(records),
    checked: {
      order: survives ? records.length : 0,
      linearizability: linearizable === undefined ? 0 : operationsOf(run).length,
      convergence: survives ? committedOf(run) : 0,
      tail: survives ? run.callers.length : 0,
      freshness: isWhole ? records.filter(({ reads }) => typeof reads === "object").length : 0,
    },
    masters: mastersOf(run, lost.length),
    outOfSteps: linearizable?._tag === "OutOfSteps" ? 1 : 0,
  }
}

/**
 * Answers against the history of the last master. Yields the calls that were answered by what is not in it, which an asynchronous group allows: commands
 * that are lost, and queries that saw some.
 */
function judgeAnswers(run: Simulation, findings: Findings): ReadonlyArray<CallRecord> {
  const { records, chronicle, scenario } = run
  const { singleMaster } = scenario
  const { actorClass, invariants } = run.workload
  const definition = define(actorClass)
  const master = lastMaster(run)
  const history = master === undefined ? [] : chronicle.historyOf(master)
  const final = replay(history, { records, definition, invariants })
  for (const [name, detail] of final.broken) findings.found(`the class's own invariant: ${name}`, [detail])
  findings.found("commands come to what their class says", final.wrong)
  if (singleMaster?.replication !== "asynchronous") {
    const exact = records.filter(({ reads }) => typeof reads !== "object")
    findings.found("every answer is the history's, once", [
      ...checkLogOrder(exact, final.executions),
      ...checkAnswers(
        records.filter(({ reads }) => typeof reads === "object"),
        final.executions,
      ),
    ])
    const rateError = singleMaster === undefined ? 0 : clockErrors(singleMaster).rate
    findings.found("no query is older than it may be", checkFreshness(records, { rateError }))
    return []
  }
  const lost = lostCalls(records, final.executions)
  const kept = records.filter((record) => !lost.includes(record))
  const commands = kept.filter(({ reads }) => reads === undefined)
  const queries = kept.filter(({ reads }) => reads !== undefined)
  const deceived = queries.filter((query) => checkAnswers([query], final.executions).length > 0)
  findings.found("what is lost was reported", checkLoss([...lost, ...deceived], chronicle.proclamations))
  findings.found("every answer is the history's, once", [
    ...checkAnswers(commands, final.executions),
    ...wrongEverywhere(queries, [
      final,
      // what is gone was right, while it was there
      ...chronicle.ends.map((end) => replay(historyUpTo(end), { records, definition, invariants })),
    ]),
  ])
  return [...lost, ...deceived]
}

/** Queries that are right in none of these histories. */
function wrongEverywhere(
  queries: ReadonlyArray<CallRecord>,
  histories: ReadonlyArray<Replayed>,
): ReadonlyArray<string> {
  return queries.flatMap((query) => {
    const [wrong = [], ...others] = histories.map(({ executions }) => checkAnswers([query], executions))
    return others.some((other) => other.length === 0) ? [] : wrong
  })
}

/** Who reads something else than the others, or halts because of that, may say something else. */
function proclamationsOf(run: Simulation): ReadonlyArray<Proclamation> {
  const { chronicle, scenario, replicas } = run
  const { brokenLog } = scenario
  if (brokenLog === undefined) return chronicle.proclamations
  const reading = replicas.filter(({ halts }, i) => halts.length === 0 && i !== brokenLog.target)
  return chronicle.proclamations.filter(({ replica }) => reading.some((other) => other.replica === replica))
}

/** In the histories that replicas have in the end. */
function doubled(run: Simulation): ReadonlyArray<string> {
  return run.replicas.flatMap(({ replica }) => {
    const seen = new Set<string>()
    return run.chronicle
      .historyOf(replica)
      .flatMap(({ record }) => record.traces.map((id) => [id, record.position] as const))
      .filter(([id]) => seen.size === seen.add(id).size)
      .map(([id, position]) => `${replica}: ${id} stands at ${position} once more`)
  })
}

function halted(run: Simulation): ReadonlyArray<string> {
  const mayRot = (run.nemesis.counts["disk-rotten"] ?? 0) > 0
  return run.replicas.flatMap(({ replica, halts }) =>
    halts
      .filter(({ reason }) => reason !== "store-damaged" || !mayRot)
      .map(({ reason, detail }) => `${replica}: ${reason}: ${detail}`),
  )
}

function lastMaster(run: Simulation) {
  const reigns = run.replicas.flatMap(({ protocol }) => protocol?.status.reign ?? [])
  return reigns.toSorted((a, b) => b.epoch - a.epoch)[0]?.master
}

/** Of the last master. */
function committedOf(run: Simulation): number {
  const master = lastMaster(run)
  return run.replicas.find(({ replica }) => replica === master)?.protocol?.status.reign?.committed ?? 0
}

/** Replicas without a vote that the last master, or the log, still counts on. */
function voteless(run: Simulation): ReadonlyArray<string> {
  const { voters } = run.operator.stated
  const reigns = run.replicas.flatMap(({ protocol }) => protocol?.status.reign ?? [])
  const last = reigns.toSorted((a, b) => b.epoch - a.epoch)[0]
  const counted = new Set([...(last?.inSync ?? []), ...(last?.master === undefined ? [] : [last.master])])
  return [...counted]
    .filter((replica) => !voters.includes(replica))
    .map((replica) => `${replica} has no vote, and is in sync or the master in epoch ${last?.epoch}`)
}

/** Of those that a roster names: to others a primary sends nothing. */
function finalStates(run: Simulation) {
  const { voters, standbys } = run.operator.stated
  const listed = run.replicas.filter(({ replica }) => [...voters, ...standbys].includes(replica))
  return listed.flatMap(({ replica, protocol }) => {
    const { reign } = protocol?.status ?? {}
    const end = run.chronicle.historyOf(replica).at(-1)?.record
    return protocol === undefined || reign === undefined
      ? []
      : [
          {
            replica,
            applied: reign.committed,
            chain: `${end?.epoch}/${end?.position} under ${reign.master} in ${reign.epoch}`,
            stateDigest: protocol.status.stateDigest(),
          },
        ]
  })
}

/** Which errors a run may show, given what was done to it. */
function unexplained(records: ReadonlyArray<CallRecord>, scenario: Scenario): ReadonlyArray<string> {
  const { events, changes, network, deadlineMs, singleMaster, sessionLimits } = scenario
  const isDisturbed = events.length > 0 || changes.length > 0 || network.loss > 0 || network.straggling > 0
  const isSlow = deadlineMs < 5000 && ((singleMaster?.lingering ?? 0) > 0 || network.delayMeanMs > 5)
  const evicts = sessionLimits.sessionsMax < SESSION_LIMITS.sessionsMax
  const isExplained = (error: LockstepError): boolean => {
    if (error instanceof Diverged) return false
    if (error instanceof NotEnoughReplicas) return isDisturbed
    // what was acknowledged is there, sessions too, except where an asynchronous primary took them with it
    if (error instanceof SessionExpired) return evicts || singleMaster?.replication === "asynchronous"
    return isDisturbed || isSlow || evicts
  }
  return records.flatMap(({ id, errors }) =>
    errors.filter((error) => !isExplained(error)).map((error) => `${id}: ${error.name}: ${error.message}`),
  )
}

/** A floor of answered calls, where faults leave most of the time to answer them in. */
function idle(run: Simulation): ReadonlyArray<string> {
  const { scenario, records, healedAtMs, clients } = run
  const { events, changes, durationMs, singleMaster, network, sessionLimits } = scenario
  const failoverMs = 3 * (singleMaster?.timing.leaseMs ?? 0) + 1000
  const lostMs =
    events.reduce((sum, fault) => sum + failoverMs + 4 * fault.durationMs, 0) +
    changes.reduce((sum, change) => sum + failoverMs + change.copiedAfterMs, 0)
  const isHopeless = network.loss > 0 || network.straggling > 0 || sessionLimits.sessionsMax < clients.length
  const floor = lostMs < durationMs / 2 && !isHopeless ? clients.length : 0
  const answered = records.filter(({ returnedAtMs = Infinity }) => returnedAtMs < healedAtMs).length
  return answered < floor
    ? [`${answered} calls were answered while the faults lasted, fewer than ${floor}`]
    : []
}

function mastersOf(run: Simulation, lost: number): Readonly<Record<string, number>> {
  const { succession, replicas } = run
  const truncated = replicas.reduce((sum, { protocol }) => sum + (protocol?.status.reign?.truncated ?? 0), 0)
  return {
    failovers: succession?.failovers ?? 0,
    handovers: succession?.handovers ?? 0,
    "degraded commands": replicas.reduce((sum, { degradedCommands }) => sum + degradedCommands, 0),
    "answers lost within windows": lost,
    "records let go": truncated,
    "checkpoints fetched": replicas.reduce((sum, { transfers }) => sum + transfers, 0),
  }
}
