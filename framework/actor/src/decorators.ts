import "reflect-metadata"
import type { Mode } from "@lockstep/core"
import type { StandardSchemaV1 } from "@standard-schema/spec"
import type { ActorContext } from "./context.ts"
import type { Migrations } from "./migration.ts"

export interface ReplicatedOptions<Way extends Mode = Mode> {
  /** The type's address in logs and messages, such as `"bank/Account"`. Keep it when you rename the class. */
  readonly name: string
  /** The version of the state's shape, from 1. */
  readonly version: number
  /** How the class is replicated, and so what it survives. */
  readonly mode: Way
  /**
   * How the state of earlier versions becomes that of this one, by the version that each begins with: `1` makes version 2 of
   * version 1. An actor of a checkpoint is migrated when a command needs it, so keep a migration for as long as a checkpoint
   * may have its version.
   */
  readonly migrations?: Migrations
}

export interface MethodOptions<
  Args extends ReadonlyArray<StandardSchemaV1> = ReadonlyArray<StandardSchemaV1>,
  Returns extends StandardSchemaV1 = StandardSchemaV1,
> {
  /** One Standard Schema per argument (Effect Schema, Zod, Valibot, …). The caller checks them before the log sees the call. */
  readonly args?: Args | undefined
  /** Checked by the caller when the decided result arrives. */
  readonly returns?: Returns | undefined
}

/** Marks a class whose instances are replicated actors. It only records: `define` reads and checks. */
export function Replicated<Way extends Mode>(
  options: ReplicatedOptions<Way>,
): <Class extends new () => object>(actorClass: Class & Executable<Way, InstanceType<Class>>) => void {
  return (actorClass) => Reflect.defineMetadata(REPLICATED, options, actorClass)
}

/**
 * Marks a method that may change the actor. It is synchronous, and runs on every replica at one log position; in a mode that executes
 * once, it may be asynchronous, and runs in one place.
 */
export function Command<
  const Args extends ReadonlyArray<StandardSchemaV1> | undefined = undefined,
  Returns extends StandardSchemaV1 | undefined = undefined,
>(options?: Given<Args, Returns>): MethodDecorator<Args, Returns> {
  return record("command", options)
}

/** Marks a method that only looks. It is ordered like a command, so it sees every command that was answered before. */
export function Query<
  const Args extends ReadonlyArray<StandardSchemaV1> | undefined = undefined,
  Returns extends StandardSchemaV1 | undefined = undefined,
>(options?: Given<Args, Returns>): MethodDecorator<Args, Returns> {
  return record("query", options)
}

/** What the decorators recorded, for `define`. */
export interface RecordedMethod {
  readonly kind: "command" | "query"
  readonly options: MethodOptions
}

export const REPLICATED = "lockstep:replicated"
export const METHOD = "lockstep:method"

interface Given<Args, Returns> {
  readonly args?: Args
  readonly returns?: Returns
}

type MethodDecorator<Args, Returns> = <Method extends (...args: Array<never>) => unknown>(
  target: object,
  member: string,
  descriptor: TypedPropertyDescriptor<Method> & Sound<Method, Args, Returns>,
) => void

function record(kind: RecordedMethod["kind"], options: MethodOptions | undefined) {
  return (target: object, member: string): void => {
    const recorded: RecordedMethod = { kind, options: options ?? {} }
    Reflect.defineMetadata(METHOD, recorded, target, member)
  }
}

/** `unknown` for a method that fits its decorator; otherwise a type that nothing has, whose key is the complaint. */
type Sound<
  Method extends (...args: Array<never>) => unknown,
  Args,
  Returns,
> = number extends Parameters<Method>["length"]
  ? { "a command or query has no rest parameters: take an array": never }
  : Args extends ReadonlyArray<StandardSchemaV1>
    ? Outputs<Args> extends WithoutContext<Parameters<Method>>
      ? Filled<WithoutContext<Parameters<Method>>> extends Inputs<Args>
        ? SoundResult<Method, Returns>
        : {
            "the method takes arguments that its schemas refuse, or a schema transforms its input": never
          }
      : { "the schemas in `args` do not produce what the method takes": never }
    : Parameters<Method> extends Required<Parameters<Method>>
      ? SoundResult<Method, Returns>
      : { "a method with optional parameters needs schemas in `args`": never }

type SoundResult<
  Method extends (...args: Array<never>) => unknown,
  Returns,
> = Returns extends StandardSchemaV1
  ? Awaited<ReturnType<Method>> extends StandardSchemaV1.InferInput<Returns>
    ? StandardSchemaV1.InferOutput<Returns> extends Awaited<ReturnType<Method>>
      ? unknown
      : { "the schema in `returns` makes something else of what the method returns": never }
    : { "the schema in `returns` refuses what the method returns": never }
  : unknown

/** `unknown` for a class that its mode can execute; otherwise a type that nothing has, whose key is the complaint. */
type Executable<Way extends Mode, Instance> = Way["execution"] extends "once"
  ? unknown
  : [AsynchronousMethods<Instance>] extends [never]
    ? unknown
    : {
        [
          Name in `a command or query of this mode must be synchronous: ${AsynchronousMethods<Instance>}`
        ]: never
      }

type AsynchronousMethods<Instance> = {
  [Name in keyof Instance & string]: Instance[Name] extends (...args: Array<never>) => infer Result
    ? IsPromise<Result> extends true
      ? Name
      : never
    : never
}[keyof Instance & string]

/** Also for a union that a promise is part of; not for `never`, which a method that always throws returns. */
type IsPromise<Result> = 0 extends 1 & Result // any: nobody knows
  ? false
  : [Extract<Result, PromiseLike<unknown>>] extends [never]
    ? false
    : true

type Outputs<Args extends ReadonlyArray<StandardSchemaV1>> = {
  -readonly [I in keyof Args]: StandardSchemaV1.InferOutput<Args[I]>
}
type Inputs<Args extends ReadonlyArray<StandardSchemaV1>> = {
  -readonly [I in keyof Args]: StandardSchemaV1.InferInput<Args[I]>
}
/** What schemas are given for these parameters: `undefined` for an optional one that is left out. */
type Filled<Declared extends ReadonlyArray<unknown>, Whole = Required<Declared>> = {
  [I in keyof Whole]: I extends keyof Declared
    ? Declared extends { readonly [J in I]: Declared[I] }
      ? Declared[I]
      : Declared[I] | undefined
    : never
}

/** The parameters that a caller gives: without the context at the end. */
export type WithoutContext<Parameters extends ReadonlyArray<unknown>> = Parameters extends readonly [
  ...infer Front,
  infer Last,
]
  ? [ActorContext] extends [Last]
    ? [Last] extends [ActorContext]
      ? Front
      : Parameters
    : Parameters
  : Parameters
