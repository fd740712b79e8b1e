import {
  checkLinearizability,
  checkTail,
  listModel,
  type MethodOutput,
  type Operation,
  registerModel,
  type SequentialModel,
} from "@lockstep/testing"
import type { Act, Workload } from "./workload.ts"
import type { Site } from "./site.ts"

/** One rule, and what broke it. */
export interface Check {
  readonly rule: string
  /** What was judged, in figures. */
  readonly judged: string
  readonly broken: ReadonlyArray<string>
}

type History = ReadonlyArray<Operation<Act, MethodOutput>>

/** Every operation of every key could have been done at one moment between its call and its return. */
export function linearizable(history: History): Check {
  const broken: Array<string> = []
  let steps = 0
  const keys = Map.groupBy(history, ({ key }) => key)
  for (const [key, operations] of keys) {
    const model: SequentialModel<unknown> = key.startsWith("ledger") ? listModel : registerModel
    const verdict = checkLinearizability<unknown, unknown, unknown>(operations, model)
    if (verdict._tag === "Linearizable") steps += verdict.steps
    else if (verdict._tag === "OutOfSteps")
      broken.push(`${key} could not be judged in ${verdict.steps} steps`)
    else broken.push(`${key} is not linearizable; stuck at ${JSON.stringify(verdict.stuck)}`)
  }
  const judged = `${history.length} operations of ${keys.size} keys in ${steps} steps`
  return { rule: "every history is linearizable", judged, broken }
}

/**
 * Every entry that was answered is in its ledger, once, at its place; none is there twice, none that was promised not to be,
 * and none that nobody recorded.
 */
export function exactlyOnce(history: History, refused: Workload["refused"]): Check {
  const broken: Array<string> = []
  const recorded = history.filter(({ input: [member] }) => member === "append")
  const ledgers = new Map<string, ReadonlyArray<string>>()
  for (const { key, client, output } of history)
    if (client === "last-reader" && key.startsWith("ledger")) ledgers.set(key, listOf(output))
  for (const { key, input, output } of recorded) {
    const id = String(input[1])
    if (output === undefined || !("returned" in output)) continue
    if (ledgers.get(key)?.[Number(output.returned) - 1] !== id)
      broken.push(`${id} was answered to be entry ${String(output.returned)} of ${key}, and is not`)
  }
  const known = new Set(recorded.map(({ key, input }) => `${key} ${input[1]}`))
  const denied = new Set(refused.map(({ key, input }) => `${key} ${input[1]}`))
  let entries = 0
  for (const [key, ids] of ledgers) {
    entries += ids.length
    if (new Set(ids).size < ids.length) broken.push(`${key} holds an entry twice`)
    for (const id of ids) {
      if (denied.has(`${key} ${id}`)) broken.push(`${id} was refused, and is in ${key}`)
      else if (!known.has(`${key} ${id}`)) broken.push(`${id} is in ${key}, and nobody recorded it`)
    }
  }
  const judged = `${entries} entries in ${ledgers.size} ledgers, ${refused.length} refused calls`
  return { rule: "every entry that was answered is there exactly once", judged, broken }
}

/** All correct replicas have executed the whole log, with one chain. (That their states are equal, their checkpoints say: they halt.) */
export async function equalReplicas(site: Site): Promise<Check> {
  const rule = "correct replicas are equal"
  try {
    const { applied, durable, chain } = await site.agreement(site.correct)
    const checkpoint = durable === 0 ? "no checkpoint" : `a checkpoint at ${durable}`
    const judged = `${site.correct.length} replicas at ${applied}, chain ${chain.slice(0, 12)}, ${checkpoint}`
    return { rule, judged, broken: [] }
  } catch (cause) {
    return { rule, judged: `${site.correct.length} replicas`, broken: [String(cause)] }
  }
}

/** Nobody was ever outvoted but the one that lies. */
export function onlyTheLiarDissents(site: Site): Check {
  const dissents = new Map<string, number>()
  for (const { counts } of site.clients)
    for (const [replica, count] of counts.dissents)
      dissents.set(replica, (dissents.get(replica) ?? 0) + count)
  const broken = [...dissents]
    .filter(([replica]) => replica !== site.liar)
    .map(([replica, count]) => `${replica} was outvoted ${count} times`)
  const lies = dissents.get(site.liar ?? "") ?? 0
  if (site.liar !== undefined && lies === 0) broken.push(`${site.liar} lied, and was never found out`)
  const matched = site.clients.reduce((sum, { counts }) => sum + counts.matched, 0)
  const judged = `${matched} votes that agreed, ${lies} lies`
  return { rule: "nobody is outvoted but the liar", judged, broken }
}

export function everyoneIsServed(answered: ReadonlyMap<string, number>, wanted: number): Check {
  const callers = [...answered].map(([caller, count]) => ({ caller, answered: count, wanted }))
  return {
    rule: "every caller is served after the last fault",
    judged: `${callers.length} callers, ${wanted} calls each`,
    broken: checkTail(callers),
  }
}

/** A run in which hardly anything was answered proves nothing. */
export function floor(run: { readonly during: number; readonly episodes: number }): Check {
  const wanted = run.episodes * 10
  return {
    rule: "callers are served while faults last",
    judged: `${run.during} answers in ${run.episodes} episodes`,
    broken: run.during < wanted ? [`only ${run.during} of at least ${wanted} answers`] : [],
  }
}

export function explained(unexplained: ReadonlyArray<string>, retried: number): Check {
  return {
    rule: "errors are ones that the faults explain",
    judged: `${retried} retries of undecided calls`,
    broken: unexplained,
  }
}

function listOf(output: MethodOutput | undefined): ReadonlyArray<string> {
  const returned = output !== undefined && "returned" in output ? output.returned : []
  return Array.isArray(returned) ? returned.map(String) : []
}
