import type { ActorClass, ActorDefinition, Determinism } from "@lockstep/actor"
import type { Operation } from "./history.ts"
import { checkLinearizability, type SequentialModel, type Verdict } from "./linearizability.ts"
import type { Random } from "./random.ts"

/** A call that a workload makes. */
export interface WorkloadCall {
  readonly member: string
  readonly key: string
  readonly args: ReadonlyArray<unknown>
}

/**
 * What clients do in a simulation. A good one makes contention, conditions and reads likely: a workload whose answers do not
 * depend on the order of its commands finds nothing.
 */
export interface Workload {
  readonly name: string
  readonly actorClass: ActorClass
  /** The class in its next version: a world may change builds on the way. */
  readonly nextClass?: ActorClass
  /** `"checked"` runs every command twice, for classes that are not known to be deterministic. */
  readonly determinism: Determinism
  /** The next call of a caller. */
  next(random: Random): WorkloadCall
  /** The black-box checker with a model of what callers may see; undefined: only the checker by log position judges. */
  readonly checkHistory: HistoryChecker | undefined
  /** Members whose answers the model says nothing about. */
  readonly unmodelled: ReadonlySet<string>
  /** What must hold of every actor after every command, by name. */
  readonly invariants: ReadonlyMap<string, (actor: object) => boolean>
}

/** Judges a history, in so many steps at most. */
export type HistoryChecker = (
  operations: ReadonlyArray<Operation>,
  limits: { readonly stepsMax: number },
) => Verdict

/** The black-box checker for this model. */
export function checkerFor<State>(model: SequentialModel<State>): HistoryChecker {
  return (operations, limits) => checkLinearizability(operations, model, limits)
}

/** Memory that a bit flips in, once it is armed. */
export interface Memory {
  isArmed: boolean
}

/** A build that is right, in memory that may not be. */
export function inMemory(
  definitions: ReadonlyMap<string, ActorDefinition>,
  memory: Memory,
  random: Random,
): ReadonlyMap<string, ActorDefinition> {
  return wrapped(definitions, (actor) => {
    if (!memory.isArmed) return
    memory.isArmed = false
    damage(actor, random)
  })
}

/** A build with a bug in its state: now and then a command is skipped, or leaves something else behind. */
export function faultyBuild(
  definitions: ReadonlyMap<string, ActorDefinition>,
  random: Random,
  rate: number,
): ReadonlyMap<string, ActorDefinition> {
  return wrapped(definitions, (actor) => {
    if (random.chance(rate)) damage(actor, random)
  })
}

function wrapped(
  definitions: ReadonlyMap<string, ActorDefinition>,
  before: (actor: object) => void,
): ReadonlyMap<string, ActorDefinition> {
  return new Map(
    [...definitions].map(([type, definition]) => {
      const members = new Map(
        [...definition.members].map(([name, member]) => {
          const implementation = function (this: object, ...args: Array<unknown>): unknown {
            before(this)
            return member.implementation.apply(this, args)
          }
          return [name, { ...member, implementation }]
        }),
      )
      return [type, { ...definition, members }]
    }),
  )
}

function damage(actor: object, random: Random): void {
  const fields = Object.entries(actor)
  if (fields.length === 0) return
  const [name, value] = random.pick(fields)
  Reflect.set(actor, name, damaged(value, random))
}

function damaged(value: unknown, random: Random): unknown {
  const by = random.integer(1, 1000)
  if (typeof value === "number") return value + by
  if (typeof value === "bigint") return value + BigInt(by)
  if (typeof value === "string") return `${value}${by}`
  if (typeof value === "boolean") return !value
  if (Array.isArray(value)) return [...(value as ReadonlyArray<unknown>).slice(1), by] // an array of anything
  if (value instanceof Map)
    return new Map([...value].map(([key, item]): [unknown, unknown] => [key, damaged(item, random)]))
  return value
}
