import "reflect-metadata"
import { encodeState, type Mode, Unsupported } from "@lockstep/core"
import type { StandardSchemaV1 } from "@standard-schema/spec"
import { METHOD, type RecordedMethod, REPLICATED, type ReplicatedOptions } from "./decorators.ts"
import { guard } from "./guard.ts"
import { type Migration, readMigrations } from "./migration.ts"
import { findPrivateField } from "./private-field.ts"

/** A class whose instances can be actors: it is constructed without arguments. */
export type ActorClass<Instance extends object = object> = new () => Instance

/** All that the framework knows of a class, read from its decorators once, checked and frozen. */
export interface ActorDefinition {
  readonly type: string
  readonly version: number
  readonly mode: Mode
  readonly actorClass: ActorClass
  /** By the version that each begins with, in their order: one for each version from the oldest that can be read. */
  readonly migrations: ReadonlyMap<number, Migration>
  readonly members: ReadonlyMap<string, Member>
}

/** A command or a query. */
export interface Member {
  readonly name: string
  readonly kind: "command" | "query"
  readonly args: ReadonlyArray<StandardSchemaV1> | undefined
  readonly returns: StandardSchemaV1 | undefined
  /** Declared parameters, the context included. */
  readonly parameters: number
  /** Arguments that a call of it has in the log, at least: without the context, where it may take one. */
  readonly argumentsMin: number
  /** `design:paramtypes`: constructors such as Number, as the compiler emitted them. A hint, never the contract. */
  readonly parameterTypes: ReadonlyArray<unknown> | undefined
  readonly implementation: (this: object, ...args: Array<unknown>) => unknown
}

/** The class cannot be an actor. Says which class and member, why, and what to do. */
export class DefinitionError extends Error {
  readonly _tag = "DefinitionError"
  override readonly name = "DefinitionError"
  readonly actorClass: string
  readonly member: string | undefined

  constructor(problem: {
    actorClass: string
    member?: string
    problem: string
    remedy: string
    cause?: unknown
  }) {
    const where =
      problem.member === undefined ? problem.actorClass : `${problem.actorClass}.${problem.member}`
    const { cause } = problem
    super(`${where}: ${problem.problem}. ${problem.remedy}.`, cause === undefined ? undefined : { cause })
    this.actorClass = problem.actorClass
    this.member = problem.member
  }
}

/** The definition of a decorated class. Throws {@link DefinitionError}. */
export function define(actorClass: ActorClass): ActorDefinition {
  const known = definitions.get(actorClass)
  if (known !== undefined) return known
  const options = readOptions(actorClass)
  const definition: ActorDefinition = Object.freeze({
    type: options.name,
    version: options.version,
    mode: options.mode,
    actorClass,
    migrations: readMigrations(options.migrations, options.version, (problem, remedy) => {
      throw new DefinitionError({ actorClass: actorClass.name, problem, remedy })
    }),
    members: readMembers(actorClass, options.mode.execution),
  })
  checkState(actorClass)
  definitions.set(actorClass, definition)
  return definition
}

/** The definitions of all classes that one group hosts, by type. Throws {@link DefinitionError}, also for two of one name. */
export function defineAll(actorClasses: ReadonlyArray<ActorClass>): ReadonlyMap<string, ActorDefinition> {
  const all = new Map<string, ActorDefinition>()
  for (const actorClass of actorClasses) {
    const definition = define(actorClass)
    const other = all.get(definition.type)
    if (other !== undefined && other.actorClass !== actorClass)
      throw new DefinitionError({
        actorClass: actorClass.name,
        problem: `its name ${JSON.stringify(definition.type)} is already that of class ${other.actorClass.name}`,
        remedy: "Give each actor class of a group a name of its own in @Replicated({ name })",
      })
    all.set(definition.type, definition)
  }
  return all
}

const definitions = new WeakMap<ActorClass, ActorDefinition>()
const NAME = /^[A-Za-z][A-Za-z0-9._/-]{0,127}$/

function readOptions(actorClass: ActorClass): ReplicatedOptions {
  const options: ReplicatedOptions | undefined = Reflect.getOwnMetadata(REPLICATED, actorClass)
  const fail = (problem: string, remedy: string): never => {
    throw new DefinitionError({ actorClass: actorClass.name, problem, remedy })
  }
  if (options === undefined)
    return fail(
      "it has no @Replicated decorator",
      "Decorate the class with @Replicated({ name, version, mode })",
    )
  if (typeof options.name !== "string" || !NAME.test(options.name))
    fail(
      `its name ${JSON.stringify(options.name)} is not a name`,
      'Use letters, digits, "/", ".", "_" or "-", beginning with a letter, such as "bank/Account"',
    )
  if (!Number.isSafeInteger(options.version) || options.version < 1)
    fail(`its version ${String(options.version)} is not a whole number from 1`, "Begin with version: 1")
  if (typeof options.mode?.kind !== "string")
    fail(
      "it has no mode",
      'Say how it is replicated, such as mode: stateMachine({ faults: 1, faultModel: "byzantine" })',
    )
  if (actorClass.length > 0)
    fail(
      "its constructor takes arguments",
      "Actors are created on first use: set them up in a command instead",
    )
  const privateField = findPrivateField(actorClass)
  if (privateField !== undefined)
    fail(
      `it keeps state in ${privateField}, which cannot be read for checkpoints`,
      "Use TypeScript's private, or a public field, instead of a #private field or a WeakMap; #private methods are fine",
    )
  return options
}

function readMembers(actorClass: ActorClass, execution: Mode["execution"]): ReadonlyMap<string, Member> {
  const members = new Map<string, Member>()
  const seen = new Set<string>(["constructor"])
  for (let at: unknown = actorClass.prototype; isPrototype(at); at = Object.getPrototypeOf(at)) {
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (seen.has(name)) continue
      seen.add(name)
      if (typeof descriptor.value === "function")
        members.set(name, readMember(actorClass, at, name, { implementation: descriptor.value, execution }))
      else if (Reflect.hasOwnMetadata(METHOD, at, name)) failMember(actorClass, name, ...NO_METHOD)
    }
  }
  for (const name of Object.getOwnPropertyNames(actorClass))
    if (Reflect.hasOwnMetadata(METHOD, actorClass, name)) failMember(actorClass, name, ...STATIC)
  if (members.size === 0)
    throw new DefinitionError({
      actorClass: actorClass.name,
      problem: "it has no command and no query",
      remedy: "Decorate at least one method with @Command() or @Query()",
    })
  return members
}

function isPrototype(value: unknown): value is object {
  return value !== null && value !== Object.prototype
}

const NO_METHOD = ["it is no method, so it cannot be called", "Decorate methods only"] as const
const STATIC = [
  "it is static, and a call is to an instance",
  "Make it a method of the instance, or a function outside of the class",
] as const

function failMember(actorClass: ActorClass, member: string, problem: string, remedy: string): never {
  throw new DefinitionError({ actorClass: actorClass.name, member, problem, remedy })
}

/** `at` is the prototype that has the method: an override does not inherit the decorator of what it replaces. */
function readMember(
  actorClass: ActorClass,
  at: object,
  name: string,
  how: { readonly implementation: Member["implementation"]; readonly execution: Mode["execution"] },
): Member {
  const { implementation, execution } = how
  const fail = (problem: string, remedy: string): never => failMember(actorClass, name, problem, remedy)
  const recorded: RecordedMethod | undefined = Reflect.getOwnMetadata(METHOD, at, name)
  if (recorded === undefined)
    return fail(
      "it is a public method without a decorator",
      "Decorate it with @Command() or @Query(), or make it #private or a function outside of the class",
    )
  const returned: unknown = Reflect.getOwnMetadata("design:returntype", at, name)
  const kind = implementation.constructor.name
  if (execution !== "once" && (returned === Promise || kind === "AsyncFunction"))
    fail(
      `it is asynchronous, and a ${recorded.kind} runs at one log position`,
      "Make it synchronous; do what needs the outside world before the call, and pass the result as an argument, or choose a mode that executes once, such as primaryBackup({ … })",
    )
  if (kind === "GeneratorFunction" || kind === "AsyncGeneratorFunction")
    fail("it is a generator", `A ${recorded.kind} returns its result: return an array instead`)
  if (name === "then") fail('a method named "then" would make its client a Promise', "Give it another name")
  const { args, returns } = recorded.options
  for (const schema of [...(args ?? []), ...(returns === undefined ? [] : [returns])])
    if (typeof schema?.["~standard"]?.validate !== "function")
      fail(
        "one of its schemas is not a Standard Schema",
        "Effect users: wrap it in Schema.toStandardSchemaV1(…)",
      )
  return Object.freeze({
    name,
    kind: recorded.kind,
    args,
    returns,
    implementation,
    ...readParameters(at, name, implementation.length, args?.length, fail),
  })
}

function readParameters(
  at: object,
  name: string,
  length: number,
  schemas: number | undefined,
  fail: (problem: string, remedy: string) => never,
): Pick<Member, "parameters" | "argumentsMin" | "parameterTypes"> {
  const types: unknown = Reflect.getOwnMetadata("design:paramtypes", at, name)
  const parameterTypes = Array.isArray(types) ? (types as ReadonlyArray<unknown>) : undefined // an array of anything
  const parameters = parameterTypes?.length ?? length
  if (schemas === undefined) {
    // a default value, or the dots of a rest parameter: the function's own length ends there
    if (parameters !== length)
      fail(
        "it has a parameter with a default value, or a rest parameter, and no schemas",
        "Give one schema for each parameter except the context, and take an array instead of a rest parameter",
      )
    // the context is an interface, and those are recorded as Object
    const mayTakeContext = parameterTypes === undefined || parameterTypes.at(-1) === Object
    return { parameters, argumentsMin: Math.max(0, parameters - (mayTakeContext ? 1 : 0)), parameterTypes }
  }
  if (schemas < parameters - 1 || (schemas > parameters && parameterTypes !== undefined))
    fail(
      `it has ${schemas} schemas for ${parameters} parameters`,
      "Give one schema for each parameter except the context",
    )
  return { parameters, argumentsMin: schemas, parameterTypes }
}

/** A new instance shows what its state is made of. */
function checkState(actorClass: ActorClass): void {
  const fail = (problem: string, remedy: string, cause?: unknown): never => {
    throw new DefinitionError({ actorClass: actorClass.name, problem, remedy, cause })
  }
  const instance = construct(actorClass, fail)
  try {
    const state = encodeState(instance, "state")
    if (!state.equals(encodeState(construct(actorClass, fail), "state")))
      fail("two new instances of it differ", "Begin with equal fields, and set the others in a command")
  } catch (cause) {
    if (!(cause instanceof Unsupported)) throw cause
    fail(
      `${cause.path} ${cause.reason}`,
      "State is made of null, boolean, number, bigint, string, Uint8Array, Date, arrays, Map, Set and plain objects",
      cause,
    )
  }
  if (!Object.isExtensible(instance))
    fail("its instances are frozen", "Do not freeze or seal an actor: recovery replaces its fields")
}

function construct(actorClass: ActorClass, fail: (problem: string, remedy: string, cause: unknown) => never) {
  try {
    return guard.silently(() => new actorClass())
  } catch (cause) {
    return fail(
      `its constructor throws: ${cause instanceof Error ? cause.message : String(cause)}`,
      "An actor is created on first use, without arguments",
      cause,
    )
  }
}
