import { operationsOf } from "./findings.ts"
import { judge, type Failure, type Judgement } from "./judgement.ts"
import type { Operation } from "./history.ts"
import { drawScenario, type Scenario, type ScenarioLimits } from "./scenario.ts"
import { Simulation } from "./simulation.ts"
import type { Workload } from "./workload.ts"
import { WORKLOADS } from "./workloads.ts"

/** One seed, run and judged. */
export interface Run {
  readonly scenario: Scenario
  readonly judgement: Judgement
  readonly failures: ReadonlyArray<Failure>
  /** Equal for equal scenarios: the simulator itself is deterministic. */
  readonly traceHash: string
  readonly virtualMs: number
  readonly entries: number
  /** Faults that happened, by kind. */
  readonly faults: Readonly<Record<string, number>>
  readonly operations: () => ReadonlyArray<Operation>
}

/** Runs one scenario. The same scenario gives the same run, whenever and wherever. */
export function runScenario(scenario: Scenario, workload: Workload = workloadNamed(scenario.workload)): Run {
  const simulation = new Simulation(scenario, workload)
  simulation.run()
  const judgement = judge(simulation)
  const { schedule, network, log, operator, nemesis } = simulation
  return {
    scenario,
    judgement,
    failures: judgement.failures,
    traceHash: schedule.traceHash,
    virtualMs: schedule.nowMs,
    entries: log.entries().length,
    faults: faultsOf(scenario, nemesis.counts, { ...network.counts, changed: operator.changes }),
    operations: () => operationsOf(simulation),
  }
}

/** Draws a scenario from a seed, and runs it. */
export function runSeed(seed: number, limits?: ScenarioLimits): Run {
  return runScenario(drawScenario(seed, limits))
}

export function workloadNamed(name: string): Workload {
  const found = WORKLOADS.find((workload) => workload.name === name)
  if (found !== undefined) return found
  throw new RangeError(
    `there is no workload ${name}; there are ${WORKLOADS.map((known) => known.name).join(", ")}`,
  )
}

function faultsOf(
  scenario: Scenario,
  begun: Readonly<Record<string, number>>,
  happened: {
    readonly lost: number
    readonly doubled: number
    readonly cut: number
    readonly changed: number
  },
): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  const count = (kind: string, times = 1): void => {
    if (times > 0) counts[kind] = (counts[kind] ?? 0) + times
  }
  for (const [kind, times] of Object.entries(begun)) count(kind, times)
  for (const { lies, damageRate } of scenario.liars) {
    for (const lie of lies) count(`liar: ${lie}`)
    if (damageRate > 0) count("liar: wrong-state")
  }
  if (scenario.upgrade !== undefined) count("upgrade: stated")
  if (scenario.upgrade?.tooEarly !== undefined) count("upgrade: a replica too early")
  for (const { kind } of scenario.changes) count(`membership: ${kind}`)
  if (scenario.brokenLog !== undefined) count(`log: ${scenario.brokenLog.kind}`)
  count("message lost", happened.lost)
  count("message doubled", happened.doubled)
  count("message cut off", happened.cut)
  count("membership changed", happened.changed)
  return counts
}
