import {
  type ByteReader,
  ByteWriter,
  digest,
  type Digest,
  encodeState,
  type Refusal,
  Unsupported,
  writeRefused,
} from "@lockstep/core"
import { readArguments } from "./argument-bytes.ts"
import { Changes, type Touched } from "./changes.ts"
import { CommandContext, type Position } from "./context.ts"
import type { ActorDefinition, Member } from "./definition.ts"
import { guard } from "./guard.ts"
import { WrongBuild } from "./migration.ts"
import { writeOutcome, writeThrown } from "./outcome.ts"
import { ignore, isThenable } from "./promise.ts"
import { Resident } from "./resident.ts"
import { Residents } from "./residents.ts"
import {
  type ActorRow,
  type ActorShelf,
  Asleep,
  checkRow,
  Frozen,
  frozenRow,
  revive,
  rowOf,
  stateOf,
} from "./row.ts"

/**
 * `"guarded"`: ambient time, time zone, locale, chance and I/O throw. `"checked"`: besides, every command runs twice, the
 * second time on a copy of the actor, and both must agree. Outcomes differ where they do not, so all replicas use one.
 */
export type Determinism = "guarded" | "checked"

/** A method of a type, with the live actors of that type. Looked up once per batch. */
export interface Target {
  readonly definition: ActorDefinition
  readonly member: Member
  readonly residents: Map<string, Resident>
  /** Undefined: nobody takes what commands change. */
  readonly touched: Touched | undefined
}

/** A command for one actor. */
export interface Issued {
  readonly key: string
  /** Reads the canonical bytes of its arguments, which may be malformed. */
  readArgs(): ByteReader
}

/** Where actors are that need not be in memory, and how many bytes of them are there all the same. */
export interface Passivation {
  readonly shelf: ActorShelf
  readonly bytesMax: number
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
  readonly #residents = new Map<string, Map<string, Resident>>()
  #changes: Changes | undefined
  readonly #checked: boolean
  readonly #context = new CommandContext()
  /** The method that runs. */
  #target: Target | undefined
  /** Names the command that runs: one function for all of them. */
  readonly #where = (): string => {
    const { definition, member } = this.#target as Target // a command runs
    const { key, seq } = this.#context
    return `${definition.type}(${JSON.stringify(key)}).${member.name} at ${seq}`
  }
  #passivation: { readonly shelf: ActorShelf; readonly residents: Residents } | undefined
  #size = 0
  #uncaught: Array<UncaughtError> = []

  constructor(options: {
    readonly definitions: ReadonlyMap<string, ActorDefinition>
    readonly determinism: Determinism
  }) {
    guard.install()
    this.#definitions = options.definitions
    this.#checked = options.determinism === "checked"
    for (const type of options.definitions.keys()) this.#residents.set(type, new Map())
  }

  /** The method that a batch names, or why there is none. */
  find(type: string, member: string): Target | "UnknownActor" | "UnknownMethod" {
    const definition = this.#definitions.get(type)
    const residents = this.#residents.get(type)
    if (definition === undefined || residents === undefined) return "UnknownActor"
    const found = definition.members.get(member)
    if (found === undefined) return "UnknownMethod"
    return { definition, member: found, residents, touched: this.#changes?.of(type) }
  }

  /** From now on it is noted which actors commands change, for checkpoints. With a shelf, actors that it holds may leave memory. */
  noteChanges(passivation?: Passivation): Changes {
    if (passivation !== undefined)
      this.#passivation = { shelf: passivation.shelf, residents: new Residents(passivation.bytesMax) }
    return (this.#changes = new Changes(this.#definitions.values(), (resident, bytes, seq) =>
      this.#passivation?.residents.kept(resident, bytes, seq),
    ))
  }

  /** The shelf holds what was taken at this position: actors that no command has run on since may leave memory. */
  shelved(seq: number): void {
    this.#passivation?.residents.evict(seq, (resident) => {
      if (resident.change !== "none") return false // a later checkpoint holds it
      resident.home.delete(resident.key)
      return true
    })
  }

  /** Puts back an actor of a checkpoint: it is read when it is needed. Throws WrongBuild for one that could not be, ever. */
  restore({ type, key, bytes }: ActorRow): void {
    const [definition, residents] = [this.#definitions.get(type), this.#residents.get(type)]
    if (definition === undefined || residents === undefined)
      throw new WrongBuild(type, "which is not hosted here", "start the build that hosts it")
    checkRow(definition, bytes)
    if (this.#passivation === undefined) add(residents, key, new Asleep(bytes))
    this.#size++
  }

  /**
   * Executes one command and writes its outcome. Never throws for anything that the command does; throws Malformed where the
   * shelf's row of the actor is damaged.
   */
  execute(writer: ByteWriter, target: Target, command: Issued, position: Position): void {
    const start = writer.length
    const args = readArguments(target.member, command.readArgs())
    if (typeof args === "string") return writeRefused(writer, "InvalidArgument", args)
    const { key } = command
    const resident =
      target.residents.get(key) ?? this.#takeDown(target, key) ?? this.#create(writer, target, key, position)
    if (resident === undefined) return
    if (resident.change !== "touched" && target.touched !== undefined)
      this.#changes?.touch(target.touched, resident)
    if (resident.actor instanceof Asleep) this.#wake(target, resident, resident.actor, position)
    if (resident.actor instanceof Frozen)
      return writeRefused(writer, "StateUnsupported", resident.actor.reason)
    if (this.#checked) this.#executeTwice(writer, target, resident, command, args, position)
    else this.#run(writer, target, resident, args, position)
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
    return this.#size
  }

  /** How many of them are in memory. */
  get resident(): number {
    let size = 0
    for (const residents of this.#residents.values()) size += residents.size
    return size
  }

  /** A digest of every actor's state: equal on correct replicas at equal positions. */
  digest(): Digest {
    const lines: Array<string> = []
    for (const [type, residents] of this.#residents) {
      const version = this.#definitions.get(type)?.version ?? 0
      for (const { key, actor } of residents.values()) {
        const row = actor instanceof Asleep ? actor.bytes : rowOf(version, actor)
        const bytes = row instanceof Unsupported ? frozenRow(version, new Frozen(row.message)) : row
        lines.push(line({ type, key, bytes }))
      }
    }
    for (const row of this.#passivation?.shelf.rows() ?? [])
      if (this.#residents.get(row.type)?.has(row.key) !== true) lines.push(line(row))
    return digest(lines.toSorted().join("\n"))
  }

  /** An actor that was put on the shelf: it is back in memory, asleep. */
  #takeDown({ definition, residents }: Target, key: string): Resident | undefined {
    const bytes = this.#passivation?.shelf.read(definition.type, key)
    return bytes && add(residents, key, new Asleep(bytes))
  }

  /** An actor of a checkpoint, now that a command needs it. */
  #wake({ definition }: Target, resident: Resident, asleep: Asleep, position: Position): void {
    const woken = asleep.wake(definition, { runs: this.#checked ? 2 : 1 })
    resident.actor = woken
    if (woken instanceof Frozen && woken.error !== undefined)
      this.#tellUncaught({ target: `${definition.type}/migrations`, seq: position.seq, error: woken.error })
  }

  #tellUncaught(uncaught: UncaughtError): void {
    if (this.#uncaught.length < 100) this.#uncaught.push(uncaught)
  }

  /** A new actor. Where its constructor does what a command may not, that is the command's outcome, and there is none. */
  #create(writer: ByteWriter, target: Target, key: string, position: Position): Resident | undefined {
    const { definition, residents } = target
    const name = `${definition.type}(${JSON.stringify(key)})`
    let instance: object
    let twin: object | undefined
    guard.enter(() => `the constructor of ${name} at ${position.seq}`)
    try {
      instance = guard.silently(() => new definition.actorClass())
      if (this.#checked) twin = guard.silently(() => new definition.actorClass())
    } catch (error) {
      const violation = guard.leave()
      if (violation === undefined) this.#writeError(writer, target, position, error)
      else writeRefused(writer, "Nondeterminism", violation.message)
      return undefined
    }
    const violation = guard.leave()
    const state = twin && stateOf(instance)
    if (violation !== undefined) writeRefused(writer, "Nondeterminism", violation.message)
    else if (state instanceof Unsupported) writeRefused(writer, "StateUnsupported", state.message)
    else if (state !== undefined && twin !== undefined && !isState(twin, state))
      writeRefused(writer, "Nondeterminism", `two new actors like ${name} differ: ${ELSEWHERE}`)
    else {
      this.#size++
      return add(residents, key, instance)
    }
    return undefined
  }

  #run(
    writer: ByteWriter,
    target: Target,
    resident: Resident,
    args: Array<unknown>,
    position: Position,
  ): void {
    const { member } = target
    const start = writer.length
    let outcome: unknown
    let thrown: { readonly error: unknown } | undefined
    this.#context.begin(position, resident.key)
    this.#target = target
    if (member.args !== undefined || args.length < member.parameters) args.push(this.#context)
    guard.enter(this.#where)
    try {
      outcome = member.implementation.apply(resident.actor, args)
    } catch (error) {
      thrown = { error }
    }
    const violation = guard.leave()
    this.#context.end()
    if (violation !== undefined) return writeRefused(writer, "Nondeterminism", violation.message)
    if (thrown !== undefined) return this.#writeError(writer, target, position, thrown.error)
    try {
      if (isThenable(outcome)) {
        ignore(outcome)
        detach(target, resident)
        return writeRefused(
          writer,
          "AsyncCommand",
          `${member.name} returned a promise: a ${member.kind} is synchronous`,
        )
      }
      writeOutcome(writer, outcome)
    } catch (cause) {
      writer.truncate(start)
      this.#writeError(writer, target, position, cause) // a getter named then is the actor's code too
    }
  }

  #writeError(writer: ByteWriter, target: Target, position: Position, error: unknown): void {
    if (writeThrown(writer, error) === "refusal") return
    this.#tellUncaught({
      target: `${target.definition.type}/${target.member.name}`,
      seq: position.seq,
      error,
    })
  }

  /** Runs the command, then again on a copy of the actor as it was before, and refuses it where the two disagree. */
  #executeTwice(
    writer: ByteWriter,
    target: Target,
    resident: Resident,
    command: Issued,
    args: Array<unknown>,
    position: Position,
  ): void {
    const start = writer.length
    const { actor } = resident
    const before = encodeState(actor)
    this.#run(writer, target, resident, args, position)
    const first = Buffer.from(writer.view().subarray(start))
    const after = stateOf(actor)
    const refuse = (reason: Refusal, detail: string): void => {
      resident.actor = revive(target.definition, before)
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
    const twin = new Resident(resident.home, resident.key, revive(target.definition, before))
    const again = readArguments(target.member, command.readArgs()) as Array<unknown> // they were readable a moment ago
    const uncaught = this.#uncaught.length
    writer.truncate(start)
    guard.silently(() => this.#run(writer, target, twin, again, position)) // told once
    this.#uncaught.length = Math.min(uncaught, this.#uncaught.length) // an error is told once
    const sameResult = first.equals(writer.view().subarray(start))
    if (!sameResult || !isState(twin.actor, after))
      refuse(
        "Nondeterminism",
        `${target.definition.type}/${target.member.name} ran twice on equal state and ${sameResult ? "left different states" : "gave different results"}: ${ELSEWHERE}`,
      )
  }
}

const ELSEWHERE =
  "it depends on something that is not in its arguments, state or context (a module variable, a cache, the order in which actors were created, …)"
const NONE: ReadonlyArray<never> = []

function line({ type, key, bytes }: ActorRow): string {
  return `${type} ${JSON.stringify(key)} ${digest(bytes)}`
}

/** What an async command does later, at no log position, it does to an actor that is no longer there. */
function detach({ definition }: Target, resident: Resident): void {
  const state = stateOf(resident.actor)
  if (!(state instanceof Unsupported)) resident.actor = revive(definition, state)
}

function add(residents: Map<string, Resident>, key: string, actor: object): Resident {
  const resident = new Resident(residents, key, actor)
  residents.set(resident.key, resident)
  return resident
}

function isState(instance: object, state: Buffer): boolean {
  const other = stateOf(instance)
  return !(other instanceof Unsupported) && other.equals(state)
}
