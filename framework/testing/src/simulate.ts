import {
  type ActorClass,
  type ActorClient,
  type ActorDefinition,
  actorMethods,
  type Call,
  define,
} from "@lockstep/actor"
import { bytesOf, decode } from "@lockstep/core"
import type { ReplicationMode, Rules } from "@lockstep/replication"
import { classModel } from "./class-model.ts"
import { Random } from "./random.ts"
import { type Run, runScenario } from "./run.ts"
import { drawScenario, type ScenarioLimits, SIMULATED_MODES } from "./scenario.ts"
import { shrink } from "./shrink.ts"
import { Totals } from "./totals.ts"
import { checkerFor, type Workload, type WorkloadCall } from "./workload.ts"

/** How to torture a class. */
export interface SimulateOptions<Instance extends object> {
  /**
   * Ways to make one call, such as `(branch, random) => branch.deposit(random.pick(owners), 5n)`. Each world draws from them, again
   * and again. What they do is recorded, not executed: the promise that a call gives is never settled.
   */
  readonly commands: ReadonlyArray<(actor: ActorClient<Instance>, random: Random) => Promise<unknown>>
  /** Keys of the actors. Few of them make contention. Default: three. */
  readonly keys?: ReadonlyArray<string>
  /** What must hold of every actor after every command, by name. */
  readonly invariants?: Readonly<Record<string, (actor: Instance) => boolean>>
  /** How many worlds. Default: 100. */
  readonly seeds?: number
  /** The first of them: a failure names the seed to begin with. Default: 0. */
  readonly firstSeed?: number
}

/** A world in which the class, or the framework, broke a rule: what happened, in the smallest scenario that shows it. */
export class SimulationFailed extends Error {
  override readonly name = "SimulationFailed"
  readonly seed: number
  readonly run: Run

  constructor(actorClass: string, seed: number, run: Run) {
    const [first] = run.failures
    const { events, liars, clients, callersPerClient } = run.scenario
    const faults = [
      ...events.map(({ kind, target, atMs }) => `${kind} of ${target} at ${Math.round(atMs)} ms`),
      ...liars.map(({ replica, lies }) => `r${replica} lies: ${lies.join(", ") || "wrong state"}`),
    ]
    super(
      `${actorClass} in world ${seed}: ${first?.rule ?? "a rule"} does not hold: ${first?.detail ?? ""}\n` +
        `  smallest scenario: ${clients} clients with ${callersPerClient} callers each, ${faults.join("; ") || "no faults"}\n` +
        `  again: simulate(${actorClass}, { …, firstSeed: ${seed}, seeds: 1 })`,
    )
    this.seed = seed
    this.run = run
  }
}

/**
 * Runs a class of yours as a replica group of its mode in simulated worlds, one for each seed: replicas crash and stand still, the
 * network loses and doubles, the log comes and goes, clients retry and die. Every answer must be the log's, or the primary's history's; every
 * history must be linearizable (where no command that is called takes its context); every invariant must hold. In a state machine replicas also
 * lie, and every command runs twice and must come to the same.
 *
 * A class that is executed once may be asynchronous and use the outside world: there is none in a simulated world. So only such a class is
 * taken whose methods are synchronous, and look at nothing but their arguments, the actor and the context.
 *
 * Yields what was done. Throws {@link SimulationFailed}, shrunk, for the first world that breaks a rule. Synchronous: some ten
 * milliseconds for each world.
 */
export function simulate<Instance extends object>(
  actorClass: ActorClass<Instance>,
  options: SimulateOptions<Instance>,
): Totals {
  const { seeds = 100, firstSeed = 0 } = options
  const workload = workloadOf(actorClass, options)
  const limits = { ...limitsOf(actorClass), workload: workload.name, purpose: "survive" } as const
  const totals = new Totals()
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    const run = runScenario(drawScenario(seed, limits), workload)
    if (run.failures.length > 0)
      throw new SimulationFailed(actorClass.name, seed, shrink(run, { workload, runsMax: 100 }))
    totals.add(run)
  }
  return totals
}

/** Its mode, with its rules. Only the timing is drawn: how wrong clocks are goes with it. */
function limitsOf(actorClass: ActorClass): Pick<ScenarioLimits, "mode" | "singleMaster"> {
  const { mode, members } = define(actorClass)
  const kind = SIMULATED_MODES.find((simulated) => simulated === mode.kind)
  if (kind === undefined) throw new TypeError(`the mode ${mode.kind} of ${actorClass.name} is not simulated`)
  if (kind === "state-machine") return { mode: kind }
  for (const [name, { implementation }] of members)
    if (implementation.constructor.name === "AsyncFunction")
      throw new TypeError(
        `${actorClass.name}.${name} is asynchronous, and a simulated world has nothing that it could wait for. Simulate a class that is given what the outside world says, and test the rest of it against the real one`,
      )
  const { rules } = mode as ReplicationMode // simulated modes are
  const { replication, replicas, inSyncMin, acknowledgements, below } = rules as unknown as Rules // of this kind
  return { mode: kind, singleMaster: { replication, replicas, inSyncMin, acknowledgements, below } }
}

function workloadOf<Instance extends object>(
  actorClass: ActorClass<Instance>,
  options: SimulateOptions<Instance>,
): Workload {
  const { commands, keys = ["a", "b", "c"], invariants = {} } = options
  const definition = define(actorClass)
  if (commands.length === 0 || keys.length === 0)
    throw new TypeError("simulate needs at least one command and one key")
  // what a command sees of time and chance no caller knows: only the checker by log position judges such a class
  const looksAtContext = commands.some((command) => {
    const { member, args } = recorded(definition, "a", command, new Random(0))
    return args.length < (definition.members.get(member)?.parameters ?? 0)
  })
  return {
    name: definition.type,
    actorClass,
    determinism: "checked",
    next: (random) => recorded(definition, random.pick(keys), random.pick(commands), random),
    checkHistory: looksAtContext ? undefined : checkerFor(classModel(definition)),
    unmodelled: new Set(),
    invariants: new Map(
      Object.entries(invariants).map(([name, holds]) => [name, (actor: object) => holds(actor as Instance)]), // it is one
    ),
  }
}

/** The call that a command makes, checked by the schemas of its method as in production. */
function recorded<Instance extends object>(
  definition: ActorDefinition,
  key: string,
  command: (actor: ActorClient<Instance>, random: Random) => Promise<unknown>,
  random: Random,
): WorkloadCall {
  const calls: Array<Call> = []
  const never = new Promise<never>(() => undefined)
  const client = actorMethods(definition, key, (call) => {
    calls.push(call)
    return never
  })
  command(client as unknown as ActorClient<Instance>, random).catch(() => undefined) // the methods of this class
  const [call, ...others] = calls
  if (call === undefined || others.length > 0)
    throw new TypeError(
      `each command of simulate makes one valid call at once, and ${String(command)} made ${calls.length}`,
    )
  return { member: call.member.name, key, args: decode(bytesOf(call.args)) as ReadonlyArray<unknown> } // a list of arguments
}
