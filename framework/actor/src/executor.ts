import { ByteReader, ByteWriter, encodeState, Unsupported, writeRefused } from "@lockstep/core"
import { RESULT_BYTES_MAX, type UncaughtError } from "./actors.ts"
import { readArguments } from "./argument-bytes.ts"
import type { ActorContext } from "./context.ts"
import type { ActorDefinition, Member } from "./definition.ts"
import { guard } from "./guard.ts"
import { WrongBuild } from "./migration.ts"
import { type Observation, type Observer, isSampled } from "./observer.ts"
import { writeOutcome, writeThrown } from "./outcome.ts"
import { isThenable } from "./promise.ts"
import { Asleep, Frozen, rowBytes } from "./row.ts"
import type { Stopwatch } from "./stopwatch.ts"

/** Commands to be run once, in their order, on actors whose states are given. */
export interface Execution {
  /** By which the outcome is told. */
  readonly token: number
  readonly client: string
  readonly session: number
  /** The number of the first command. */
  readonly number: number
  /** Those that the commands run on, each once. */
  readonly actors: ReadonlyArray<ExecutedActor>
  readonly commands: ReadonlyArray<ExecutedCommand>
  /** `"query"`: nothing that the commands leave behind is kept. */
  readonly kind: "command" | "query"
}

export interface ExecutedActor {
  readonly type: string
  readonly key: string
  /** Its version and canonical state; undefined for one that is new. */
  readonly row: Uint8Array | undefined
}

export interface ExecutedCommand {
  /** Index into `actors`. */
  readonly actor: number
  readonly member: string
  /** Canonical bytes of the array of arguments. They may be malformed. */
  readonly args: Buffer
  /** What it hangs below, if its caller traces it: see `TracedCommand`. */
  readonly trace: string | undefined
}

/** What an execution came to. */
export interface Executed {
  readonly token: number
  /** The bytes of all outcomes, in the order of the commands. */
  readonly outcomes: Buffer
  /** By actor, in the order of `actors`: its new row; undefined where that has not changed. */
  readonly rows: ReadonlyArray<Uint8Array | undefined>
}

export interface ExecutorOptions {
  readonly definitions: ReadonlyMap<string, ActorDefinition>
  /** Milliseconds since 1970. */
  readonly clock: () => number
  /** From 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number
  readonly uuid: () => string
  readonly onUncaught: (uncaught: UncaughtError) => void
  readonly observer?: Observer
  readonly stopwatch?: Stopwatch
}

/** Actors that are kept as they are after an execution, at most, so that the next one need not read their rows. */
const KEPT_MAX = 10_000

/**
 * Runs commands once, in this process: they may be asynchronous, and use the outside world. It remembers nothing that matters: what an actor
 * is stands in the row that it is given. Never throws for anything that a command does.
 */
export class Executor {
  readonly #options: ExecutorOptions
  /** Actors as their last execution left them, with the row of that. The one that was not needed for longest goes first. */
  readonly #kept = new Map<string, { readonly row: Uint8Array; readonly instance: object }>()

  constructor(options: ExecutorOptions) {
    this.#options = options
  }

  /** Calls `done` once: at once where no command returns a promise. Two executions of one actor must not overlap. */
  run(execution: Execution, done: (executed: Executed) => void): void {
    const casts = execution.actors.map((actor) => this.#cast(actor))
    const job: Job = { execution, casts, outcomes: [], next: 0 }
    this.#goOn(job, done)
  }

  #goOn(job: Job, done: (executed: Executed) => void): void {
    while (job.next < job.execution.commands.length) {
      const index = job.next++
      const waiting = this.#perform(job, index)
      if (waiting === undefined) continue
      void waiting.then(() => this.#goOn(job, done))
      return
    }
    done(this.#finish(job))
  }

  /** The actor, awake, or why there is none. */
  #cast({ type, key, row }: ExecutedActor): Cast {
    const definition = this.#options.definitions.get(type)
    if (definition === undefined) return { definition, actor: undefined, row }
    const id = `${type}\0${key}`
    const kept = this.#kept.get(id)
    this.#kept.delete(id)
    if (row !== undefined && kept !== undefined && isSame(kept.row, row))
      return { definition, actor: kept.instance, row }
    try {
      const actor =
        row === undefined ? guard.silently(() => new definition.actorClass()) : wake(definition, row)
      return { definition, actor, row }
    } catch (error) {
      const reason =
        error instanceof WrongBuild ? error.message : `a new actor cannot be constructed: ${String(error)}`
      return { definition, actor: new Frozen(reason, { error }), row }
    }
  }

  /** Runs one command, and keeps its outcome. A promise, where that is not there yet. */
  #perform(job: Job, index: number): Promise<void> | undefined {
    const { execution, casts, outcomes } = job
    const command = execution.commands[index]
    const cast = command && casts[command.actor]
    const target = command && execution.actors[command.actor]
    if (command === undefined || cast === undefined || target === undefined) return undefined
    const member = cast.definition?.members.get(command.member)
    if (cast.definition === undefined || member === undefined) {
      const reason = cast.definition === undefined ? "UnknownActor" : "UnknownMethod"
      outcomes[index] = refusal(reason, `this group hosts no ${target.type}/${command.member}`)
      return undefined
    }
    if (cast.actor instanceof Frozen) {
      outcomes[index] = refusal("StateUnsupported", cast.actor.reason)
      return undefined
    }
    const args = readArguments(member, new ByteReader(command.args))
    if (typeof args === "string") {
      outcomes[index] = refusal("InvalidArgument", args)
      return undefined
    }
    const context = new OnceContext(this.#options, { execution, key: target.key, index })
    if (member.args !== undefined || args.length < member.parameters) args.push(context)
    const name = `${target.type}/${member.name}`
    const observation = this.#observe(command, target, execution.kind)
    const lap = this.#options.stopwatch?.start()
    const end = (outcome: Uint8Array): void => {
      lap?.(target.type, member, outcome)
      observation?.end(outcome)
    }
    const fail = (error: unknown): void => {
      context.end()
      const outcome = written((writer) => {
        if (writeThrown(writer, error) === "uncaught")
          this.#options.onUncaught({ target: name, seq: 0, error })
      })
      outcomes[index] = outcome
      end(outcome)
    }
    const succeed = (value: unknown): void => {
      context.end()
      try {
        outcomes[index] = written((writer) => writeOutcome(writer, value))
      } catch (error) {
        return fail(error) // a getter of the result
      }
      end(outcomes[index] ?? NO_OUTCOME)
    }
    const run = () => attempt({ member, actor: cast.actor, args, succeed, fail })
    if (observation !== undefined) return observation.run(run)
    return this.#options.observer === undefined ? run() : this.#options.observer.unseen(run)
  }

  #observe(
    { trace, member }: ExecutedCommand,
    { type, key }: ExecutedActor,
    kind: Execution["kind"],
  ): Observation | undefined {
    const { observer } = this.#options
    if (observer === undefined || trace === undefined || !isSampled(trace)) return undefined
    return observer.begin({ trace, type, member, key, seq: 0, orderedMs: undefined, kind })
  }

  #finish({ execution, casts, outcomes }: Job): Executed {
    const rows = casts.map((cast, i) => this.#keep(execution, cast, i, outcomes))
    const { token } = execution
    return { token, outcomes: Buffer.concat(outcomes), rows }
  }

  /** The actor's new row, if it has one. What a query leaves behind, and what is no data, is forgotten. */
  #keep(
    execution: Execution,
    { definition, actor, row }: Cast,
    index: number,
    outcomes: Array<Buffer>,
  ): Uint8Array | undefined {
    const target = execution.actors[index]
    if (definition === undefined || actor === undefined || actor instanceof Frozen || target === undefined)
      return undefined
    const state = tryEncodeState(actor)
    const refuse = (reason: "StateUnsupported" | "QueryChangedState", detail: string): undefined => {
      for (const [i, command] of execution.commands.entries())
        if (command.actor === index) outcomes[i] = refusal(reason, detail)
      return undefined
    }
    if (state instanceof Unsupported)
      return refuse("StateUnsupported", `the commands on this actor were undone: ${state.message}`)
    const next = rowBytes(definition.version, state)
    const isChanged = row === undefined || !isSame(row, next)
    if (execution.kind === "query" && row !== undefined && isChanged && isOfVersion(row, next))
      return refuse("QueryChangedState", "a query changed the actor, which was undone: make it a command")
    this.#remember(`${target.type}\0${target.key}`, { row: isChanged ? next : row, instance: actor })
    return isChanged && execution.kind === "command" ? next : undefined
  }

  #remember(id: string, kept: { readonly row: Uint8Array; readonly instance: object }): void {
    this.#kept.set(id, kept)
    if (this.#kept.size <= KEPT_MAX) return
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest)
      return
    }
  }
}

const NO_OUTCOME = Buffer.alloc(0)

/** An execution that has begun. */
interface Job {
  readonly execution: Execution
  readonly casts: ReadonlyArray<Cast>
  readonly outcomes: Array<Buffer>
  next: number
}

interface Cast {
  readonly definition: ActorDefinition | undefined
  readonly actor: object | undefined
  readonly row: Uint8Array | undefined
}

/** What a command that runs once may know. */
class OnceContext implements ActorContext {
  readonly #options: ExecutorOptions
  readonly #of: { readonly execution: Execution; readonly key: string; readonly index: number }
  #isOver = false

  constructor(
    options: ExecutorOptions,
    of: { readonly execution: Execution; readonly key: string; readonly index: number },
  ) {
    this.#options = options
    this.#of = of
  }

  end(): void {
    this.#isOver = true
  }

  get now(): number {
    return this.#live().clock()
  }

  /** There is no position in a log. */
  get seq(): number {
    this.#live()
    return 0
  }

  get key(): string {
    this.#live()
    return this.#of.key
  }

  get caller(): string {
    this.#live()
    return this.#of.execution.client
  }

  get id(): string {
    this.#live()
    const { client, session, number } = this.#of.execution
    return `${client}/${session}/${number + this.#of.index}`
  }

  random(): number {
    return this.#live().random()
  }

  uuid(): string {
    return this.#live().uuid()
  }

  #live(): ExecutorOptions {
    if (!this.#isOver) return this.#options
    throw new Error(
      "an actor's context was used after its command had ended: read what you need during the command",
    )
  }
}

function attempt(run: {
  readonly member: Member
  readonly actor: object | undefined
  readonly args: Array<unknown>
  readonly succeed: (value: unknown) => void
  readonly fail: (error: unknown) => void
}): Promise<void> | undefined {
  const { member, actor, args, succeed, fail } = run
  try {
    const value = member.implementation.apply(actor as object, args) // one that is not there was refused
    if (isThenable(value)) return Promise.resolve(value).then(succeed, fail)
    succeed(value)
  } catch (error) {
    fail(error)
  }
  return undefined
}

function written(write: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter(256)
  write(writer)
  return writer.length <= RESULT_BYTES_MAX
    ? writer.take()
    : refusal(
        "ResultTooLarge",
        `the command was executed, but its result of ${writer.length} bytes is over the limit of ${RESULT_BYTES_MAX} bytes`,
      )
}

function refusal(reason: Parameters<typeof writeRefused>[1], detail: string): Buffer {
  const writer = new ByteWriter(256)
  writeRefused(writer, reason, detail)
  return writer.take()
}

function wake(definition: ActorDefinition, row: Uint8Array): object {
  return new Asleep(row).wake(definition, { runs: 1 })
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || Buffer.compare(a, b) === 0
}

/** Rows begin with the version of the class: one that was migrated differs without having been changed. */
function isOfVersion(row: Uint8Array, next: Uint8Array): boolean {
  return row[0] === next[0]
}

function tryEncodeState(instance: object): Buffer | Unsupported {
  try {
    return encodeState(instance)
  } catch (cause) {
    if (cause instanceof Unsupported) return cause
    throw cause
  }
}
