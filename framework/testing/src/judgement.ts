import {
  Diverged,
  type LockstepError,
  NoQuorum,
  OutcomeUnknown,
  Overloaded,
  SessionExpired,
} from "@lockstep/core"
import type { HaltReport } from "@lockstep/replication"
import type { CallRecord } from "./caller.ts"
import { checkConvergence } from "./convergence.ts"
import type { Operation } from "./history.ts"
import { checkLogOrder } from "./order.ts"
import { Reference } from "./reference.ts"
import type { BrokenLog, Scenario } from "./scenario.ts"
import { CALLS_AFTER_HEALING, type Simulation } from "./simulation.ts"
import { checkTail } from "./tail.ts"

/** A rule that a run broke. */
export interface Failure {
  /** Which rule: a name that stays, so that shrinking can tell one failure from another. */
  readonly rule: string
  readonly detail: string
}

/** What the checkers say of a run, and what they looked at. */
export interface Judgement {
  readonly failures: ReadonlyArray<Failure>
  readonly answered: number
  readonly failed: number
  readonly indeterminate: number
  /** Calls per checker. */
  readonly checked: {
    readonly order: number
    readonly linearizability: number
    readonly convergence: number
    readonly tail: number
  }
  /** Keys whose history was too entangled for the step budget. */
  readonly outOfSteps: number
}

/** Steps of the black-box checker per key: far more than a history of a run needs. */
const STEPS_MAX = 2_000_000

/** Judges a run that has ended. */
export function judge(run: Simulation): Judgement {
  const { scenario, records, workload } = run
  const failures: Array<Failure> = []
  const found = (rule: string, details: ReadonlyArray<string>): void => {
    for (const detail of details.slice(0, 3)) failures.push({ rule, detail })
  }
  const survives = scenario.purpose === "survive"
  const isWhole = scenario.purpose !== "broken-log"

  found(
    "no invariant of the framework is broken",
    run.replicas.flatMap(({ replica, failure }) =>
      failure === undefined ? [] : [`${replica}: ${failure.message}`],
    ),
  )
  if (survives) found("every command may be replicated", refused(records))
  found("correct replicas agree at every position", run.disagreements)
  if (isWhole) {
    const reference = referenceOf(run)
    found("every answer is the log's, once", checkLogOrder(records, reference.executions))
    for (const { invariant, seq, key } of reference.broken.slice(0, 1))
      found(`the class's own invariant: ${invariant}`, [`actor ${JSON.stringify(key)} after position ${seq}`])
    if (survives)
      found(
        "nobody halts at a log that is whole",
        run.replicas.flatMap(({ replica, halts }, i) =>
          (run.isLiar(i) || run.hasFlipped(i) ? [] : halts).map(
            ({ reason, detail }) => `${replica}: ${reason}: ${detail}`,
          ),
        ),
      )
  } else {
    found("a broken log is noticed", unnoticed(run))
    found("who halted begins anew where f+1 others go on", stranded(run))
  }
  const history = operationsOf(run)
  const linearizable = workload.checkHistory?.(history, { stepsMax: STEPS_MAX })
  if (linearizable?._tag === "NotLinearizable")
    found("histories are linearizable", [
      `key ${linearizable.key}: cannot place ${JSON.stringify(linearizable.stuck, bigints)}`,
    ])
  found("errors are ones that the faults explain", unexplained(records, scenario))
  if (survives) {
    found("a replica whose state is wrong stops", unstopped(run))
    found(
      "correct replicas converge",
      checkConvergence(finalStates(run), { lastSeq: run.log.entries().length }),
    )
    found("everybody is served after the last fault", checkTail(finalCalls(run)))
    found("a replica that was wrong heals itself", unhealed(run))
    found("a run gets something done", idle(run))
  }
  return {
    failures,
    answered: records.filter(({ output }) => output !== undefined).length,
    failed: records.filter(({ output, tookEffect }) => output === undefined && tookEffect === "no").length,
    indeterminate: records.filter(({ output, tookEffect }) => output === undefined && tookEffect !== "no")
      .length,
    checked: {
      order: isWhole ? records.length : 0,
      linearizability: linearizable === undefined ? 0 : history.length,
      convergence: survives ? run.log.entries().length : 0,
      tail: survives ? run.callers.length : 0,
    },
    outOfSteps: linearizable?._tag === "OutOfSteps" ? 1 : 0,
  }
}

/** The calls of a run as the black-box checker, or any other tool, reads them. */
export function operationsOf(run: Simulation): ReadonlyArray<Operation> {
  return run.records
    .filter(({ call, tookEffect }) => tookEffect !== "no" && !run.workload.unmodelled.has(call.member))
    .map(({ caller, call, calledAtMs, returnedAtMs, output }) => ({
      client: caller,
      key: call.key,
      call: calledAtMs,
      return: returnedAtMs,
      input: [call.member, ...call.args],
      output: output === undefined ? undefined : "threw" in output ? { threw: output.threw } : output,
    }))
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
  return run.wrong.flatMap(([index, seq]) => {
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

/** More clients than there may be sessions evict each other without end: they are promised nothing. */
function finalCalls(run: Simulation) {
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
  const floor = cutOffMs < durationMs / 10 ? run.clients.length : 0
  return answered < floor
    ? [`${answered} calls were answered while the faults lasted, fewer than ${floor}`]
    : []
}

/** While these last, nobody can be answered. */
const CUTS_OFF: ReadonlySet<string> = new Set(["log-away", "log-flaps", "log-full", "client-isolated"])

/** Commands that replicas refused by a rule for classes: they are not deterministic, or not data. */
function refused(records: ReadonlyArray<CallRecord>): ReadonlyArray<string> {
  return records.flatMap(({ call, output }) =>
    output !== undefined && "threw" in output && output.threw.startsWith("refused: ")
      ? [`${call.member}: ${output.threw.slice("refused: ".length)}`]
      : [],
  )
}

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

/** Those who must have noticed that the log broke its promise and went on, or stopped for another reason. */
function unnoticed(run: Simulation): ReadonlyArray<string> {
  const { brokenLog } = run.scenario
  if (brokenLog === undefined) return []
  const { kind } = brokenLog
  return mustHalt(run, brokenLog).flatMap(({ replica, halts }) => {
    const [halt] = halts
    if (halt === undefined) return [`${replica} went on although the log is broken: ${kind}`]
    return REASONS[kind].includes(halt.reason) ? [] : [`${replica} took ${kind} for ${halt.reason}`]
  })
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

/** What a replica may take the break for. Whoever lost its last entry may be contradicted by its peers first. */
const REASONS: Readonly<Record<BrokenLog, ReadonlyArray<HaltReport["reason"]>>> = {
  "lost-tail": ["log-lost-tail", "log-rewritten", "log-forked"],
  "lost-middle": ["log-gap"],
  rewritten: ["log-forked", "state-diverged"],
  recreated: ["log-recreated"],
  fork: ["log-forked", "state-diverged"],
}

/** Who read something that others did not read, or no longer can. */
function mustHalt(run: Simulation, broken: { readonly kind: BrokenLog; readonly target: number }) {
  const { replicas, log, breakage, scenario } = run
  const target = replicas[broken.target]
  if (target === undefined || breakage === undefined) return []
  const { lastSeq, applied } = breakage
  const isBeyond = (replica: (typeof replicas)[number]): boolean =>
    (replica.protocol?.status.applied ?? 0) > lastSeq
  const others = replicas.filter((replica) => replica !== target && isBeyond(replica))
  switch (broken.kind) {
    case "recreated":
      // one that had executed nothing has lost nothing: it notices when it attaches next
      return replicas.filter((_, i) => (applied[i] ?? 0) > 0)
    case "lost-tail":
      return replicas.filter((_, i) => (applied[i] ?? 0) > lastSeq - run.lost)
    case "lost-middle":
      return log.entries().length > lastSeq + 1 ? [target] : []
    case "rewritten":
    case "fork":
      return isBeyond(target) && others.length > scenario.faults ? [target] : []
  }
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value
}
