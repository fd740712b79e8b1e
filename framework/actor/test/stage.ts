import {
  type ActorClass,
  type ActorRow,
  Actors,
  type Changes,
  define,
  defineAll,
  type Determinism,
} from "@lockstep/actor"
import {
  ByteReader,
  ByteWriter,
  type Canonical,
  decodeOutcomes,
  type Digest,
  encode,
  type Mode,
  type Outcome,
} from "@lockstep/core"

export const mode: Mode = { kind: "test", replicas: 1, execution: "everywhere" }

/** The time of the first command, milliseconds; each command is one later. */
export const START_MS = 1_700_000_000_000

/** The actors of one replica, called one command at a time, without a log. */
export class Stage {
  readonly actors: Actors
  #seq = 0
  #changes: Changes | undefined

  constructor(determinism: Determinism, ...actorClasses: ReadonlyArray<ActorClass>) {
    this.actors = new Actors({ definitions: defineAll(actorClasses), determinism })
  }

  noteChanges(...how: Parameters<Actors["noteChanges"]>): Changes {
    return (this.#changes = this.actors.noteChanges(...how))
  }

  /** All rows of a checkpoint at this position. */
  takeChanges(seq: number): ReadonlyArray<ActorRow> {
    this.#changes?.mark(seq)
    return this.#changes?.take() ?? []
  }

  get digest(): Digest {
    return this.actors.digest()
  }

  call(actorClass: ActorClass, member: string, ...args: ReadonlyArray<unknown>): Outcome {
    return this.callKey(actorClass, "alice", member, ...args)
  }

  callKey(actorClass: ActorClass, key: string, member: string, ...args: ReadonlyArray<unknown>): Outcome {
    return this.send(actorClass, key, member, encode(args))
  }

  /** As `callKey`, with whatever bytes the envelope held. */
  send(actorClass: ActorClass, key: string, member: string, args: Buffer): Outcome {
    const target = this.actors.find(define(actorClass).type, member)
    if (typeof target === "string") throw new Error(target)
    const writer = new ByteWriter()
    const seq = ++this.#seq
    const position = {
      log: "log",
      seq,
      index: 0,
      nowMs: START_MS + seq,
      caller: "client",
      session: 1,
      number: seq,
    }
    this.actors.execute(writer, target, { key, readArgs: () => new ByteReader(args) }, position)
    const [outcome] = decodeOutcomes(writer.take(), 1)
    if (outcome === undefined) throw new Error("no outcome was written")
    return outcome
  }
}

export function returned(value: Canonical): Outcome {
  return { _tag: "Returned", value }
}
