import {
  ActorError,
  ByteReader,
  type ByteWriter,
  type Canonical,
  decodeFrom,
  decodeState,
  digest,
  type Digest,
  encodeState,
  Malformed,
  type Refusal,
  Unsupported,
  writeRefused,
  writeReturned,
  writeThrew,
} from "@lockstep/core"
import { CommandContext, type Position } from "./context.ts"
import type { ActorDefinition, Member } from "./definition.ts"
import { guard } from "./guard.ts"

/**
 * `"guarded"`: ambient time, time zone, locale, chance and I/O throw. `"checked"`: besides, every command runs twice, the
 * second time on a copy of the actor, and both must agree. Outcomes differ where they do not, so all replicas use one.
 */
export type Determinism = "guarded" | "checked"

/** A method of a type, with the live actors of that type. Looked up once per batch. */
export interface Target {
  readonly definition: ActorDefinition
  readonly member: Member
  readonly instances: Map<string, object>
}

/** An error that an actor threw and that is not an ActorError: most likely a bug in it. For the operator's log. */
export interface UncaughtError {
  readonly target: string
  readonly seq: number
  readonly error: unknown
}

/** Bytes of one command's outcome, at most. */
export const RESULT_BYTES_MAX = 1024 * 1024
/** Bytes of the outcomes of one batch, at most. */
export const BATCH_RESULT_BYTES_MAX = 16 * 1024 * 1024

/** The live actors of one replica of one partition: created on first use, executed one command at a time. */
export class Actors {
  readonly #definitions: ReadonlyMap<string, ActorDefinition>
  readonly #instances = new Map<string, Map<string, object>>()
  readonly #checked: boolean
  readonly #context = new CommandContext()
  #uncaught: Array<UncaughtError> = []

  constructor(options: {
    readonly definitions: ReadonlyMap<string, ActorDefinition>
    readonly determinism: Determinism
  }) {
    guard.install()
    this.#definitions = options.definitions
    this.#checked = options.determinism === "checked"
    for (const type of options.definitions.keys()) this.#instances.set(type, new Map())
  }

  /** The method that a batch names, or why there is none. */
  find(type: string, member: string): Target | "UnknownActor" | "UnknownMethod" {
    const definition = this.#definitions.get(type)
    const instances = this.#instances.get(type)
    if (definition === undefined || instances === undefined) return "UnknownActor"
    const found = definition.members.get(member)
    return found === undefined ? "UnknownMethod" : { definition, member: found, instances }
  }

  /** Executes one command and writes its outcome. Never throws for anything that the command does. */
  execute(writer: ByteWriter, target: Target, key: string, argsBytes: Buffer, position: Position): void {
    const start = writer.length
    const args = readArguments(target.member, argsBytes)
    if (typeof args === "string") return writeRefused(writer, "InvalidArgument", args)
    let instance = target.instances.get(key)
    if (instance === undefined) {
      instance = new target.definition.actorClass()
      target.instances.set(key, instance)
    }
    if (this.#checked) this.#executeTwice(writer, target, key, instance, args, argsBytes, position)
    else this.#run(writer, target, key, instance, args, position)
    const size = writer.length - start
    if (size > RESULT_BYTES_MAX || writer.length > BATCH_RESULT_BYTES_MAX) {
      writer.truncate(start)
      writeRefused(
        writer,
        "ResultTooLarge",
        `the command was executed, but its result of ${size} bytes is over the limit of ${RESULT_BYTES_MAX} bytes (${BATCH_RESULT_BYTES_MAX} for a batch)`,
      )
    }
  }

  /** Errors that actors threw since this was called last, the first hundred of them. */
  takeUncaught(): ReadonlyArray<UncaughtError> {
    if (this.#uncaught.length === 0) return NONE
    const uncaught = this.#uncaught
    this.#uncaught = []
    return uncaught
  }

  /** How many actors live here. */
  get size(): number {
    let size = 0
    for (const instances of this.#instances.values()) size += instances.size
    return size
  }

  /** A digest of every actor's state, in the order of their creation: equal on correct replicas at equal positions. */
  digest(): Digest {
    const lines: Array<string> = []
    for (const [type, instances] of this.#instances)
      for (const [key, instance] of instances)
        lines.push(`${type} ${JSON.stringify(key)} ${digest(encodeState(instance, `${type}(${key})`))}`)
    return digest(lines.join("\n"))
  }

  #run(
    writer: ByteWriter,
    target: Target,
    key: string,
    instance: object,
    args: Array<unknown>,
    position: Position,
  ): void {
    const { member } = target
    const start = writer.length
    let outcome: unknown
    let thrown: { readonly error: unknown } | undefined
    this.#context.begin(position, key)
    if (member.args !== undefined || args.length < member.parameters) args.push(this.#context)
    guard.enter(() => `${target.definition.type}(${JSON.stringify(key)}).${member.name} at ${position.seq}`)
    try {
      outcome = member.implementation.apply(instance, args)
    } catch (error) {
      thrown = { error }
    }
    const violation = guard.leave()
    this.#context.end()
    if (violation !== undefined) return writeRefused(writer, "Nondeterminism", violation.message)
    if (thrown !== undefined) return this.#writeError(writer, target, position, thrown.error)
    if (isThenable(outcome)) {
      ignore(outcome)
      return writeRefused(
        writer,
        "AsyncCommand",
        `${member.name} returned a promise: a ${member.kind} is synchronous`,
      )
    }
    try {
      writeReturned(writer, outcome)
    } catch (cause) {
      writer.truncate(start)
      if (!(cause instanceof Unsupported)) throw cause
      writeRefused(writer, "ResultUnsupported", `the command was executed, but its ${cause.message}`)
    }
  }

  #writeError(writer: ByteWriter, target: Target, position: Position, error: unknown): void {
    try {
      if (error instanceof ActorError) return writeThrew(writer, error.code, error.data)
      if (this.#uncaught.length < 100)
        this.#uncaught.push({
          target: `${target.definition.type}/${target.member.name}`,
          seq: position.seq,
          error,
        })
      writeThrew(writer, error instanceof Error ? String(error.name) : "NonError", null)
    } catch (cause) {
      if (!(cause instanceof Unsupported)) throw cause
      writeRefused(writer, "ResultUnsupported", `the command threw an error whose ${cause.message}`)
    }
  }

  /** Runs the command, then again on a copy of the actor as it was before, and refuses it where the two disagree. */
  #executeTwice(
    writer: ByteWriter,
    target: Target,
    key: string,
    instance: object,
    args: Array<unknown>,
    argsBytes: Buffer,
    position: Position,
  ): void {
    const start = writer.length
    const before = encodeState(instance)
    this.#run(writer, target, key, instance, args, position)
    const first = Buffer.from(writer.view().subarray(start))
    const after = tryEncodeState(instance)
    const refuse = (reason: Refusal, detail: string): void => {
      target.instances.set(key, revive(target.definition, before))
      writer.truncate(start)
      writeRefused(writer, reason, detail)
    }
    if (after instanceof Unsupported)
      return refuse("StateUnsupported", `the command was undone: ${after.message}`)
    if (target.member.kind === "query" && !after.equals(before))
      return refuse(
        "QueryChangedState",
        `${target.member.name} is a query, and changed the actor: make it a command`,
      )
    const twin = revive(target.definition, before)
    const again = readArguments(target.member, argsBytes) as Array<unknown> // they were readable a moment ago
    writer.truncate(start)
    this.#run(writer, target, key, twin, again, position)
    const second = writer.view().subarray(start)
    const sameState = tryEncodeState(twin)
    if (!first.equals(second) || sameState instanceof Unsupported || !sameState.equals(after))
      refuse(
        "Nondeterminism",
        `${target.definition.type}/${target.member.name} ran twice on equal state and ${first.equals(second) ? "left different states" : "gave different results"}: it depends on something that is not in its arguments, state or context (a module variable, a cache, the order in which actors were created, …)`,
      )
  }
}

const NONE: ReadonlyArray<never> = []

/** The arguments, or what is wrong with them: a forged envelope may hold anything. */
function readArguments(member: Member, bytes: Buffer): Array<unknown> | string {
  let args: Canonical
  try {
    const reader = new ByteReader(bytes)
    args = decodeFrom(reader)
    reader.end()
  } catch (cause) {
    if (cause instanceof Malformed) return `the arguments are malformed: ${cause.message}`
    throw cause
  }
  if (!Array.isArray(args)) return "the arguments are not a list"
  const wanted = member.args?.length
  if (wanted === undefined ? args.length > member.parameters : args.length !== wanted)
    return `${args.length} arguments were given, and ${wanted ?? `at most ${member.parameters}`} are taken`
  return args as Array<unknown> // just checked; made for this call, so it may be changed
}

function revive(definition: ActorDefinition, state: Buffer): object {
  const instance: object = Object.create(definition.actorClass.prototype as object) // a class's prototype is an object
  return Object.assign(instance, decodeState(state))
}

function tryEncodeState(instance: object): Buffer | Unsupported {
  try {
    return encodeState(instance)
  } catch (cause) {
    if (cause instanceof Unsupported) return cause
    throw cause
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === "object" || typeof value === "function") &&
    value !== null &&
    "then" in value &&
    typeof value.then === "function"
  )
}

/** What an async command does later is its own affair; its rejection must not end the process. */
function ignore(promise: PromiseLike<unknown>): void {
  void promise.then(undefined, () => undefined)
}
