import { ByteReader, RecentMap, Unsupported } from "@lockstep/core"
import type { UncaughtError } from "./actors.ts"
import { readArguments } from "./argument-bytes.ts"
import type { ActorContext } from "./context.ts"
import type { ActorDefinition, Member } from "./definition.ts"
import { guard } from "./guard.ts"
import { WrongBuild } from "./migration.ts"
import { type Observation, type Observer, isSampled } from "./observer.ts"
import { Outcomes } from "./outcomes.ts"
import { isThenable } from "./promise.ts"
import { Asleep, Frozen, rowOf } from "./row.ts"
import type { Lap, Stopwatch } from "./stopwatch.ts"

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
  /** Names it: no two actors have the same one. */
  readonly id: string
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

/** What wrote more than this is not kept to be used again. */
const SPARE_BYTES_MAX = 1024 * 1024

/** Bytes of actors that are kept as they are after an execution, about, so that the next one need not read their rows. */
const KEPT_BYTES_MAX = 64 * 1024 * 1024
/** Its object, its place in a map, and what its row's bytes share their memory with. */
const KEPT_OVERHEAD_BYTES = 4096

/**
 * Runs commands once, in this process: they may be asynchronous, and use the outside world. It remembers nothing that matters: what an actor
 * is stands in the row that it is given. Never throws for anything that a command does.
 */
export class Executor {
  readonly #options: ExecutorOptions
  /** Actors as their last execution left them, by their ids. */
  readonly #kept = new RecentMap<string, Kept>(
    KEPT_BYTES_MAX,
    ({ row }) => KEPT_OVERHEAD_BYTES + (row?.length ?? 0),
  )
  /** Of an execution that has ended: the next one writes in the same place. */
  #spare: Outcomes | undefined

  constructor(options: ExecutorOptions) {
    this.#options = options
  }

  /** Calls `done` once: at once where no command returns a promise. Two executions of one actor must not overlap. */
  run(execution: Execution, done: (executed: Executed) => void): void {
    const casts = execution.actors.map((actor) => this.#cast(actor))
    const outcomes = this.#spare ?? new Outcomes()
    this.#spare = undefined
    this.#goOn({ execution, casts, outcomes, next: 0 }, done)
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
  #cast({ type, id, row }: ExecutedActor): Cast {
    const definition = this.#options.definitions.get(type)
    if (definition === undefined) return { definition, actor: undefined, row, kept: undefined }
    const kept = this.#kept.get(id)
    const left = kept?.row
    // what becomes of it now is not known before its end
    if (kept !== undefined) kept.row = undefined
    if (kept !== undefined && row !== undefined && left !== undefined && isSame(left, row))
      return { definition, actor: kept.instance, row, kept }
    try {
      const actor =
        row === undefined ? guard.silently(() => new definition.actorClass()) : wake(definition, row)
      return { definition, actor, row, kept }
    } catch (error) {
      const reason =
        error instanceof WrongBuild ? error.message : `a new actor cannot be constructed: ${String(error)}`
      return { definition, actor: new Frozen(reason, { error }), row, kept }
    }
  }

  /** Runs one command, and writes its outcome. A promise, where that is not there yet. */
  #perform({ execution, casts, outcomes }: Job, index: number): Promise<void> | undefined {
    const command = execution.commands[index]
    const cast = command && casts[command.actor]
    const target = command && execution.actors[command.actor]
    if (command === undefined || cast === undefined || target === undefined) return undefined
    const member = cast.definition?.members.get(command.member)
    if (cast.definition === undefined || member === undefined) {
      const reason = cast.definition === undefined ? "UnknownActor" : "UnknownMethod"
      outcomes.refused(reason, `this group hosts no ${target.type}/${command.member}`)
      return undefined
    }
    const { actor } = cast
    if (actor instanceof Frozen) {
      outcomes.refused("StateUnsupported", actor.reason)
      return undefined
    }
    const args = readArguments(member, new ByteReader(command.args))
    if (typeof args === "string") {
      outcomes.refused("InvalidArgument", args)
      return undefined
    }
    const context = new OnceContext(this.#options, { execution, key: target.key, index })
    if (member.args !== undefined || args.length < member.parameters) args.push(context)
    const observation = this.#observe(command, target, execution.kind)
    const lap = this.#options.stopwatch?.start()
    const running: Running = { type: target.type, member, context, outcomes, observation, lap }
    const run = (): Promise<void> | undefined => {
      let value: unknown
      let isLater: boolean
      try {
        value = member.implementation.apply(actor as object, args) // one that is not there was refused
        isLater = isThenable(value)
      } catch (error) {
        this.#fail(running, error)
        return undefined
      }
      if (!isLater) {
        this.#succeed(running, value)
        return undefined
      }
      return Promise.resolve(value).then(
        (later) => this.#succeed(running, later),
        (error: unknown) => this.#fail(running, error),
      )
    }
    if (observation !== undefined) return observation.run(run)
    return this.#options.observer === undefined ? run() : this.#options.observer.unseen(run)
  }

  #succeed(running: Running, value: unknown): void {
    running.context.end()
    try {
      running.outcomes.returned(value)
    } catch (error) {
      return this.#fail(running, error) // a getter of the result
    }
    settle(running)
  }

  #fail(running: Running, error: unknown): void {
    const { context, outcomes, type, member } = running
    context.end()
    if (outcomes.threw(error) === "uncaught")
      this.#options.onUncaught({ target: `${type}/${member.name}`, seq: 0, error })
    settle(running)
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
    const bytes = outcomes.take()
    if (bytes.length <= SPARE_BYTES_MAX) this.#spare = outcomes
    return { token: execution.token, outcomes: bytes, rows }
  }

  /** The actor's new row, if it has one. What a query leaves behind, and what is no data, is forgotten. */
  #keep(
    execution: Execution,
    { definition, actor, row, kept }: Cast,
    index: number,
    outcomes: Outcomes,
  ): Uint8Array | undefined {
    const target = execution.actors[index]
    if (definition === undefined || actor === undefined || actor instanceof Frozen || target === undefined)
      return undefined
    const next = rowOf(definition.version, actor)
    const refuse = (reason: "StateUnsupported" | "QueryChangedState", detail: string): undefined => {
      for (const [i, command] of execution.commands.entries())
        if (command.actor === index) outcomes.undo(i, reason, detail)
      return undefined
    }
    if (next instanceof Unsupported)
      return refuse("StateUnsupported", `the commands on this actor were undone: ${next.message}`)
    const isChanged = row === undefined || !isSame(row, next)
    if (execution.kind === "query" && row !== undefined && isChanged && isOfVersion(row, next))
      return refuse("QueryChangedState", "a query changed the actor, which was undone: make it a command")
    const left = kept ?? { row: undefined, instance: actor }
    left.row = isChanged ? next : row
    left.instance = actor
    this.#kept.set(target.id, left)
    return isChanged && execution.kind === "command" ? next : undefined
  }
}

/** An actor in memory. */
interface Kept {
  /** Its row in this state; undefined while an execution is at it, or where that left nothing to go on with. */
  row: Uint8Array | undefined
  instance: object
}

/** An execution that has begun. */
interface Job {
  readonly execution: Execution
  readonly casts: ReadonlyArray<Cast>
  readonly outcomes: Outcomes
  next: number
}

/** A command that has begun. */
interface Running {
  readonly type: string
  readonly member: Member
  readonly context: OnceContext
  readonly outcomes: Outcomes
  readonly observation: Observation | undefined
  readonly lap: Lap | undefined
}

interface Cast {
  readonly definition: ActorDefinition | undefined
  readonly actor: object | undefined
  readonly row: Uint8Array | undefined
  /** As it was kept, if it was. */
  readonly kept: Kept | undefined
}

/** The outcome of the last command is there. */
function settle({ type, member, outcomes, observation, lap }: Running): void {
  lap?.(type, member, outcomes.last)
  observation?.end(outcomes.last)
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
