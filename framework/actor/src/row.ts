import {
  ByteReader,
  ByteWriter,
  decodeState,
  encodeState,
  encodeStateInto,
  Unsupported,
} from "@lockstep/core"
import type { ActorDefinition } from "./definition.ts"
import { guard } from "./guard.ts"
import { checkVersion, migrate, MigrationFailed } from "./migration.ts"

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

  /** The actor, in its class's version; or why there is none, which is the same on every replica. */
  wake(definition: ActorDefinition, options: { readonly runs: 1 | 2 }): object {
    const reader = new ByteReader(this.bytes)
    const version = reader.varint()
    if (reader.byte() === FROZEN) return new Frozen(reader.string(), { row: this.bytes })
    const state = reader.raw(reader.remaining)
    if (version === definition.version) return revive(definition, state)
    const migrated = migrate(definition, { version, state }, options)
    if (!(migrated instanceof MigrationFailed)) return revive(definition, migrated)
    return new Frozen(migrated.reason, { row: this.bytes, error: migrated.error })
  }
}

/** An actor whose state was not made of data when a checkpoint was taken, or could not be migrated. It refuses everything. */
export class Frozen {
  readonly reason: string
  /** Its row in the checkpoint that it came from. It stays that one: a build with a corrected migration can still read it. */
  readonly row: Uint8Array | undefined
  /** What went wrong with a migration, for the operator's log. */
  readonly error: unknown

  constructor(reason: string, from: { readonly row?: Uint8Array; readonly error?: unknown } = {}) {
    this.reason = reason
    this.row = from.row
    this.error = from.error
  }
}

/** Whether this build can read the row. Throws WrongBuild where it cannot. */
export function checkRow(definition: ActorDefinition, bytes: Uint8Array): void {
  const reader = new ByteReader(bytes)
  const version = reader.varint()
  // a frozen actor has no state that a migration could be asked for
  checkVersion(definition, reader.byte() === FROZEN ? Math.max(version, definition.version) : version)
}

/** The canonical state of a live actor; or why it has none. */
export function stateOf(instance: object): Buffer | Unsupported {
  try {
    return encodeState(instance)
  } catch (cause) {
    if (cause instanceof Unsupported) return cause
    throw cause
  }
}

const LIVE = 0
const FROZEN = 1
const row = new ByteWriter(1024)

/** The row of an actor; or why its state has none. */
export function rowOf(version: number, actor: object): Uint8Array | Unsupported {
  if (actor instanceof Frozen) return frozenRow(version, actor)
  row.reset()
  row.varint(version)
  row.byte(LIVE)
  try {
    encodeStateInto(row, actor)
    return row.take()
  } catch (cause) {
    if (cause instanceof Unsupported) return cause
    throw cause
  }
}

/** The row of an actor that refuses everything. */
export function frozenRow(version: number, frozen: Frozen): Uint8Array {
  if (frozen.row !== undefined) return frozen.row
  row.reset()
  row.varint(version)
  row.byte(FROZEN)
  row.string(frozen.reason.toWellFormed())
  return row.take()
}

/** An actor in this state. It is constructed, silently, because its #private methods need that; then its fields are replaced. */
export function revive(definition: ActorDefinition, state: Buffer): object {
  const instance = guard.silently(() => new definition.actorClass())
  const fields = decodeState(state)
  const [own, names] = [Object.keys(instance), Object.keys(fields)]
  if (own.length === names.length && own.every((name, i) => name === names[i]))
    return Object.assign(instance, fields)
  // the order of the fields is part of the state
  for (const name of own) Reflect.deleteProperty(instance, name)
  return Object.defineProperties(instance, Object.getOwnPropertyDescriptors(fields))
}
