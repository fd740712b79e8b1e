import { ByteReader, ByteWriter, decodeState, type Unsupported } from "@lockstep/core"
import type { ActorDefinition } from "./definition.ts"

/** The state of one actor, as a checkpoint keeps it. */
export interface ActorRow {
  readonly type: string
  readonly key: string
  /** The version of its class, and its canonical state. */
  readonly bytes: Uint8Array
}

/** Actors of the last checkpoint that need not be in memory. */
export interface ActorShelf {
  /** The row of an actor, if the checkpoint has one. Throws Malformed for one that is damaged. */
  read(type: string, key: string): Uint8Array | undefined
  rows(): Iterable<ActorRow>
}

/** An actor of a checkpoint that no command has needed yet. */
export class Asleep {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  wake(definition: ActorDefinition): object {
    const reader = new ByteReader(this.bytes)
    reader.varint() // the version: migrations will read it
    if (reader.byte() === FROZEN) return new Frozen(reader.string())
    return revive(definition, reader.raw(reader.remaining))
  }
}

/** An actor whose state was not made of data when a checkpoint was taken. */
export class Frozen {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

const LIVE = 0
const FROZEN = 1
const row = new ByteWriter(1024)

/** The row of an actor in this state. */
export function rowBytes(version: number, state: Buffer | Unsupported | Frozen): Buffer {
  row.reset()
  row.varint(version)
  if (Buffer.isBuffer(state)) {
    row.byte(LIVE)
    row.raw(state)
  } else {
    row.byte(FROZEN)
    row.string((state instanceof Frozen ? state.reason : state.message).toWellFormed())
  }
  return row.take()
}

/** An actor in this state. It is constructed, because its #private methods need that; then its fields are replaced. */
export function revive(definition: ActorDefinition, state: Buffer): object {
  const instance = new definition.actorClass()
  const fields = decodeState(state)
  const [own, names] = [Object.keys(instance), Object.keys(fields)]
  if (own.length === names.length && own.every((name, i) => name === names[i]))
    return Object.assign(instance, fields)
  // the order of the fields is part of the state
  for (const name of own) Reflect.deleteProperty(instance, name)
  return Object.defineProperties(instance, Object.getOwnPropertyDescriptors(fields))
}
