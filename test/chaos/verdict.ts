import {
  checkLinearizability,
  checkTail,
  listModel,
  type MethodOutput,
  type Operation,
  registerModel,
  type SequentialModel,
} from "@lockstep/testing"
import type { LogWatch } from "./log-watch.ts"
import type { Act, Workload } from "./workload.ts"
import type { Site } from "./site.ts"

/** One rule, and what broke it. */
export interface Check {
  readonly rule: string
  /** What was judged, in figures. */
  readonly judged: string
  readonly broken: ReadonlyArray<string>
}

export type History = ReadonlyArray<Operation<Act, MethodOutput>>

/** Every operation of every key could have been done at one moment between its call and its return. */
export function linearizable(history: History): Check {
  const broken: Array<string> = []
  let steps = 0
  const keys = Map.groupBy(history, ({ key }) => key)
  for (const [key, operations] of keys) {
    const model: SequentialModel<unknown> = key.startsWith("list") ? listModel : registerModel
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
 * Every entry that was answered is in its list, once, at its place (but for those that are known to be lost); none is there twice, none
 * that was promised not to be, and none that nobody recorded.
 */
export function exactlyOnce(
  history: History,
  refused: Workload["refused"],
  lost: ReadonlySet<number> = new Set(),
): Check {
  const broken: Array<string> = []
  const recorded = history.filter(({ input: [member] }) => member === "append")
  const lists = lastLists(history)
  for (const { key, input, output } of recorded) {
    const id = Number(input[1])
    if (output === undefined || !("returned" in output) || lost.has(id)) continue
    if (lists.get(key)?.[Number(output.returned) - 1] !== id)
      broken.push(`${id} was answered to be entry ${String(output.returned)} of ${key}, and is not`)
  }
  const known = new Set(recorded.map(({ key, input }) => `${key} ${input[1]}`))
  const denied = new Set(refused.map(({ key, input }) => `${key} ${input[1]}`))
  let entries = 0
  for (const [key, ids] of lists) {
    entries += ids.length
    if (new Set(ids).size < ids.length) broken.push(`${key} holds an entry twice`)
    for (const id of ids) {
      if (denied.has(`${key} ${id}`)) broken.push(`${id} was refused, and is in ${key}`)
      else if (!known.has(`${key} ${id}`)) broken.push(`${id} is in ${key}, and nobody recorded it`)
    }
  }
  const judged = `${entries} entries in ${lists.size} lists, ${refused.length} refused calls`
  return { rule: "every entry that was answered is there exactly once", judged, broken }
}

/** What each list held when it was read last. */
export function lastLists(history: History): ReadonlyMap<string, ReadonlyArray<number>> {
  const last = history.filter(({ key, client }) => client === "last-reader" && key.startsWith("list"))
  return new Map(last.map(({ key, output }) => [key, listOf(output)]))
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
  const again =
    site.liar === undefined ? "" : `, by ${site.liar}, which was started again ${site.liarRestarts} times`
  const judged = `${matched} votes that agreed, ${lies} lies${again}`
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

/** Each of the clients, whichever server it is connected to. */
export function everyClientIsServed(during: ReadonlyMap<string, number>, episodes: number): Check {
  const wanted = episodes * 3
  return {
    rule: "every client is served while faults last",
    judged: [...during].map(([client, count]) => `${client} ${count}`).join(", "),
    broken: [...during]
      .filter(([, count]) => count < wanted)
      .map(([client, count]) => `${client} had only ${count} of at least ${wanted} answers`),
  }
}

/** Entries of the log, at most: many times what is left after a truncation, and a small part of any run of minutes. */
const LOG_ENTRIES_MAX = 12_000

/** The log begins ever later, and does not grow with the run. */
export function truncated(run: {
  readonly logWatch: Pick<LogWatch, "entries" | "entriesMax" | "firstSeq" | "truncations">
}): Check {
  const { entries, entriesMax, firstSeq, truncations } = run.logWatch
  const broken: Array<string> = []
  if (entriesMax > LOG_ENTRIES_MAX) broken.push(`it held ${entriesMax} entries, more than ${LOG_ENTRIES_MAX}`)
  if (truncations === 0) broken.push("it was never truncated")
  const judged = `begins at ${firstSeq} after ${truncations} truncations, holds ${entries} entries, at most ${entriesMax}`
  return { rule: "the log is truncated, and stays short", judged, broken }
}

/** A correct replica stops only where it must not go on, and then it is started again; its state is never outvoted. */
export function stoppedForAReason({ events, restarts }: Pick<Site, "events" | "restarts">): Check {
  const { halted = 0, failed = 0, diverged = 0 } = events
  const excused = [...restarts.values()].reduce((sum, times) => sum + times, 0)
  const broken: Array<string> = []
  if (halted + failed > excused)
    broken.push(`they stopped ${halted + failed} times, of which a damaged disk explains ${excused}`)
  if (diverged > 0) broken.push(`they found themselves outvoted ${diverged} times`)
  const judged = `${excused} stops because of damaged disks: ${JSON.stringify(Object.fromEntries(restarts))}`
  return { rule: "correct replicas stop only for a damaged disk", judged, broken }
}

export function explained(unexplained: ReadonlyArray<string>, retried: number): Check {
  return {
    rule: "errors are ones that the faults explain",
    judged: `${retried} retries of undecided calls`,
    broken: unexplained,
  }
}

function listOf(output: MethodOutput | undefined): ReadonlyArray<number> {
  const returned = output !== undefined && "returned" in output ? output.returned : []
  return Array.isArray(returned) ? returned.map(Number) : []
}
