import { type ActorClass, type ActorClient, define } from "@lockstep/actor"
import {
  type ActorError,
  type Diverged,
  InvalidArgument,
  LockstepError,
  type NoQuorum,
  type NotEnoughReplicas,
  type OutcomeUnknown,
  type Overloaded,
  type SessionExpired,
} from "@lockstep/core"
import * as runtime from "@lockstep/runtime"
import { Context, Effect, Layer, Option, type Scope, Tracer } from "effect"

/** Every way in which a call can end without a value. */
export type CallError =
  | InvalidArgument
  | Overloaded
  | NotEnoughReplicas
  | NoQuorum
  | Diverged
  | OutcomeUnknown
  | SessionExpired
  | ActorError

/**
 * The client of one actor: its methods, returning Effects with typed errors. A call is sent each time that its Effect is
 * run. Interrupting it stops the waiting: a command that was sent takes effect all the same.
 */
export type EffectActorClient<Instance> = {
  readonly [Name in keyof ActorClient<Instance>]: ActorClient<Instance>[Name] extends (
    ...args: infer Args
  ) => Promise<infer Result>
    ? (...args: Args) => Effect.Effect<Result, CallError>
    : never
}

/** A connection to one replica group, whose calls are Effects. */
export interface EffectClient {
  /** The client of one actor. A key that is none fails each of its calls; a class that is none of an actor's throws. */
  readonly actor: <Instance extends object>(
    actorClass: ActorClass<Instance>,
    key: string,
    options?: runtime.ActorOptions,
  ) => EffectActorClient<Instance>
  /** Waits again for a command that ended undecided; it is never executed twice. */
  readonly retry: (error: NoQuorum | OutcomeUnknown | Diverged) => Effect.Effect<unknown, CallError>
  /** The same connection, for code that uses promises. */
  readonly promises: runtime.Client
}

/** A connection to one replica group, as a service. */
export class Lockstep extends Context.Service<Lockstep, EffectClient>()("lockstep/effect/Lockstep") {
  static readonly layer = (options: runtime.ConnectOptions): Layer.Layer<Lockstep, ConnectError> =>
    Layer.effect(Lockstep, connect(options))
}

/** The group could not be reached, is not there, or is not safe to use: `cause` says which, by its class. Nothing was sent. */
export class ConnectError extends Error {
  readonly _tag = "ConnectError"
  override readonly name = "ConnectError"
}

/** Connects to a replica group, until the scope closes. */
export function connect(
  options: runtime.ConnectOptions,
): Effect.Effect<EffectClient, ConnectError, Scope.Scope> {
  return Effect.acquireRelease(
    Effect.tryPromise({
      try: () => runtime.connect(options),
      catch: (cause) => new ConnectError(cause instanceof Error ? cause.message : String(cause), { cause }),
    }),
    (client) => Effect.promise(() => client.close()),
  ).pipe(Effect.map(effectClient))
}

function effectClient(client: runtime.Client): EffectClient {
  return {
    promises: client,
    retry: (error) => call(() => client.retry(error)),
    actor: <Instance extends object>(
      actorClass: ActorClass<Instance>,
      key: string,
      options?: runtime.ActorOptions,
    ) => {
      const effects = Object.entries(methodsOf(client, actorClass, key, options)).map(([name, method]) => [
        name,
        (...args: Array<unknown>) => call(() => method(...args)),
      ])
      return Object.freeze(Object.fromEntries(effects)) as EffectActorClient<Instance> // the same methods, each made an Effect
    },
  }
}

type Methods = Readonly<Record<string, (...args: ReadonlyArray<unknown>) => Promise<unknown>>>

function methodsOf(
  client: runtime.Client,
  actorClass: ActorClass,
  key: string,
  options?: runtime.ActorOptions,
): Methods {
  try {
    return { ...client.actor(actorClass, key, options) }
  } catch (cause) {
    // keys come from anywhere: a wrong one is an error of the call, and no defect of the program
    if (!(cause instanceof InvalidArgument)) throw cause
    const refuse = (): Promise<never> => Promise.reject(cause)
    return Object.fromEntries([...define(actorClass).members.keys()].map((name) => [name, refuse]))
  }
}

/** What a call rejects with is a CallError; anything else is a bug, and dies. It is part of the trace of the current span. */
function call(run: () => Promise<unknown>): Effect.Effect<unknown, CallError> {
  return Effect.contextWith((services: Context.Context<never>) => {
    const span = exportedSpan(services)
    const joined = span === undefined ? run : () => runtime.joining(span, run)
    return Effect.tryPromise({ try: joined, catch: (cause) => cause })
  }).pipe(
    Effect.catch(
      (cause) => (cause instanceof LockstepError ? Effect.fail(cause as CallError) : Effect.die(cause)), // the union lists every subclass
    ),
  )
}

/** The current span, or the nearest one above it that somebody exports, or may have. */
function exportedSpan(services: Context.Context<never>): runtime.ForeignSpan | undefined {
  const isExported =
    Context.get(services, Tracer.Tracer) === Tracer.nativeTracer
      ? ({ _tag }: Tracer.AnySpan) => _tag === "ExternalSpan" // spans of that tracer go nowhere
      : ({ annotations }: Tracer.AnySpan) => !Context.get(annotations, Tracer.DisablePropagation)
  let span = Option.getOrUndefined(Context.getOption(services, Tracer.ParentSpan))
  while (span !== undefined && !isExported(span))
    span = span._tag === "Span" ? Option.getOrUndefined(span.parent) : undefined
  if (span === undefined) return undefined
  const { traceId, spanId, sampled: isSampled, _tag } = span
  return { traceId, spanId, isSampled, isRemote: _tag === "ExternalSpan" }
}
