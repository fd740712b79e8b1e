import type { ActorDefinition } from "@lockstep/actor"
import { ActorError, type Canonical, decode, decodeOutcomes, encode, type Outcome } from "@lockstep/core"
import type { CallRecord } from "./caller.ts"
import type { Page } from "./chronicle.ts"
import type { Execution, Output } from "./reference.ts"
import type { Workload, WorkloadCall } from "./workload.ts"

/** What a history came to, and what it should have. */
export interface Replayed {
  /** By the id of the call: where it stands, and what its record says that it came to; of a query, what it would come to there. */
  readonly executions: ReadonlyMap<string, ReadonlyArray<Execution>>
  /** Records whose outcomes are not those of their commands, one after the other. */
  readonly wrong: ReadonlyArray<string>
  /** The first command after which an invariant of the class did not hold, by the name of that. */
  readonly broken: ReadonlyMap<string, string>
}

/** Queries stand behind everything else at their position. */
const QUERY_INDEX = 100_000

/**
 * Does everything once more that stands in a history with a single master, one call at a time, on objects of its own. Calls that look at the world
 * are believed: nobody can say what they should have seen.
 */
export function replay(
  history: ReadonlyArray<Pick<Page, "record">>,
  of: {
    readonly records: ReadonlyArray<CallRecord>
    readonly definition: ActorDefinition
    readonly invariants: Workload["invariants"]
  },
): Replayed {
  const { definition, invariants } = of
  const broken = new Map<string, string>()
  const calls = new Map(of.records.map(({ id, call }) => [id, call]))
  const queries = Map.groupBy(
    of.records.filter(({ reads, output }) => reads !== undefined && output !== undefined),
    ({ seq }) => seq ?? 0,
  )
  const executions = new Map<string, ReadonlyArray<Execution>>()
  const wrong: Array<string> = []
  const actors = new Map<string, object>()
  const perform = (call: WorkloadCall, told: Output | undefined): Output | undefined => {
    const actor = actors.get(call.key) ?? new definition.actorClass()
    actors.set(call.key, actor)
    const member = definition.members.get(call.member)
    if (member === undefined || call.args.length < member.parameters) return told
    const args = decode(encode(call.args)) as Array<Canonical> // a list, as it was; the actor may keep it
    return outputOf(() => member.implementation.apply(actor, args))
  }
  const note = (id: string, execution: Execution): void =>
    void executions.set(id, [...(executions.get(id) ?? []), execution])
  const query = (position: number): void => {
    for (const { id, call, output } of queries.get(position) ?? []) {
      const right = perform(call, output)
      if (right !== undefined) note(id, { seq: position, index: QUERY_INDEX, ...call, output: right })
    }
  }
  query(0)
  for (const { record } of history) {
    const { position, traces, count } = record
    const outcomes = decodeOutcomes(record.outcomes, count)
    for (const [index, outcome] of outcomes.entries()) {
      const id = traces[index] ?? `${position}/${index}`
      const call = calls.get(id)
      const told = toldBy(outcome)
      if (call === undefined) {
        wrong.push(`${id} at ${position} was called by nobody`)
        continue
      }
      const right = perform(call, told)
      if (right === undefined || !encode(right).equals(encode(told)))
        wrong.push(`${id} (${call.member}) at ${position} came to something else`)
      note(id, { seq: position, index, ...call, output: told })
      const actor = actors.get(call.key)
      for (const [name, holds] of invariants)
        if (actor !== undefined && !broken.has(name) && !holds(actor))
          broken.set(name, `does not hold of ${call.key} after ${id} (${call.member}) at ${position}`)
    }
    query(position)
  }
  return { executions, wrong, broken }
}

function toldBy(outcome: Outcome): Output {
  if (outcome._tag === "Returned") return { returned: outcome.value }
  if (outcome._tag === "Threw") return { threw: outcome.code, data: outcome.data }
  return { threw: `refused: ${outcome.reason}: ${outcome.detail}` }
}

function outputOf(run: () => unknown): Output {
  try {
    return { returned: decode(encode(run())) }
  } catch (error) {
    if (error instanceof ActorError) return { threw: error.code, data: decode(encode(error.data)) }
    return { threw: error instanceof Error ? error.name : "NonError", data: null }
  }
}
