import { type Run, runScenario } from "./run.ts"
import type { Scenario } from "./scenario.ts"
import type { Workload } from "./workload.ts"

/**
 * The smallest scenario that it finds which still breaks the same rule: fewer faults, then fewer clients, then fewer
 * operations. It tries what takes most away first, and stops when nothing can be taken away, or after `runsMax` runs.
 */
export function shrink(
  failing: Run,
  options: { readonly workload?: Workload; readonly runsMax?: number } = {},
): Run {
  const { runsMax = 300 } = options
  const rules = new Set(failing.failures.map(({ rule }) => rule))
  let smallest = failing
  let runs = 0
  for (let found = true; found && runs < runsMax;) {
    found = false
    for (const scenario of smaller(smallest.scenario)) {
      if (runs++ >= runsMax) break
      const run = runScenario(scenario, options.workload)
      if (!run.failures.some(({ rule }) => rules.has(rule))) continue
      smallest = run
      found = true
      break
    }
  }
  return smallest
}

/** Scenarios with something taken away, the boldest first. */
function* smaller(scenario: Scenario): Generator<Scenario> {
  yield* without(scenario.events, (events) => ({ ...scenario, events }))
  yield* without(scenario.changes, (changes) => ({ ...scenario, changes }))
  if (scenario.upgrade !== undefined) yield { ...scenario, upgrade: undefined }
  yield* without(scenario.liars, (liars) => ({ ...scenario, liars }))
  for (const [i, liar] of scenario.liars.entries()) {
    const replace = (changed: Partial<typeof liar>): Scenario => ({
      ...scenario,
      liars: scenario.liars.with(i, { ...liar, ...changed }),
    })
    if (liar.damageRate > 0) yield replace({ damageRate: 0 })
    yield* without(liar.lies, (lies) => replace({ lies }))
  }
  const { network, singleMaster } = scenario
  for (const rate of ["lingering", "maxStalenessMs"] as const)
    if ((singleMaster?.[rate] ?? 0) > 0)
      yield { ...scenario, singleMaster: singleMaster && { ...singleMaster, [rate]: 0 } }
  for (const rate of ["loss", "duplication", "straggling"] as const)
    if (network[rate] > 0) yield { ...scenario, network: { ...network, [rate]: 0 } }
  if (scenario.clients > 1) yield { ...scenario, clients: scenario.clients - 1 }
  if (scenario.callersPerClient > 1) yield { ...scenario, callersPerClient: scenario.callersPerClient - 1 }
  for (const share of [0.5, 0.9])
    if (scenario.operations > 4) yield { ...scenario, operations: Math.floor(scenario.operations * share) }
  if (scenario.durationMs > 2000)
    yield {
      ...scenario,
      durationMs: Math.floor(scenario.durationMs / 2),
      operations: Math.ceil(scenario.operations / 2),
      events: scenario.events.filter(({ atMs }) => atMs < scenario.durationMs / 2),
      changes: scenario.changes.filter(({ atMs }) => atMs < scenario.durationMs / 2),
    }
}

/** Halves of a list taken out, then quarters, down to single items. */
function* without<Item>(
  items: ReadonlyArray<Item>,
  make: (left: ReadonlyArray<Item>) => Scenario,
): Generator<Scenario> {
  for (let size = items.length; size >= 1; size = Math.floor(size / 2))
    for (let at = 0; at < items.length; at += size)
      yield make([...items.slice(0, at), ...items.slice(at + size)])
}
