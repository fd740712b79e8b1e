import { type Canonical, decodeState, encodeState, Unsupported } from "@lockstep/core"
import { guard } from "./guard.ts"

/** The fields of an actor, by name, in canonical types. */
export type Fields = { readonly [field: string]: Canonical }

/**
 * Makes the fields of the next version out of those of one. A pure function, under the rules of a command, but without a
 * context: it may depend on the fields alone. They are its own copy, so it may change and return them. You may write the shape
 * of the earlier version as the type of its parameter: the class no longer shows it, so nobody but you can know it.
 */
export type Migration = Bivariant["migrate"]

/** Migrations by the version that each begins with. */
export type Migrations = { readonly [version: number]: Migration }

/** What a class says of its versions. */
export interface Versions {
  readonly type: string
  readonly version: number
  readonly actorClass: new () => object
  /** One for each version from the oldest that can still be read to the one before `version`. */
  readonly migrations: ReadonlyMap<number, Migration>
}

/**
 * A checkpoint holds what this build cannot read: a newer version of a class, one that is older than its migrations, or a
 * class that it does not have. Nothing was executed, and the checkpoint is as it was. Start the build that can read it.
 */
export class WrongBuild extends Error {
  readonly _tag = "WrongBuild"
  override readonly name = "WrongBuild"
  readonly type: string

  constructor(type: string, problem: string, remedy: string) {
    super(
      `the checkpoint has an actor of type ${type} ${problem}. Nothing was executed, and the checkpoint is as it was; ${remedy}.`,
    )
    this.type = type
  }
}

/** Why a state could not be brought to its class's version, in words that are the same on every replica, at any position. */
export class MigrationFailed {
  readonly reason: string
  /** What the migration threw, or what is to be said of it, for the operator's log. */
  readonly error: unknown

  constructor(reason: string, error: unknown = new TypeError(reason)) {
    this.reason = reason
    this.error = error
  }
}

/** Whether the state of an actor of this version can be read. Throws {@link WrongBuild} where it cannot. */
export function checkVersion({ type, version, migrations }: Versions, found: number): void {
  if (found > version)
    throw new WrongBuild(
      type,
      `and version ${found}, and this build has version ${version} of its class`,
      "start the build that wrote it, or a later one",
    )
  const oldest = Math.min(version, ...migrations.keys())
  if (found < oldest)
    throw new WrongBuild(
      type,
      `and version ${found}, and the oldest that this build can read is ${oldest}`,
      `start a build of its class with a migration from version ${found}`,
    )
}

/**
 * The state in the class's own version, through each version between. With two runs, each migration runs on two copies, and
 * both results must be equal. Throws {@link WrongBuild} for a version that the class knows nothing of.
 */
export function migrate(
  versions: Versions,
  from: { readonly version: number; readonly state: Uint8Array },
  options: { readonly runs: 1 | 2 },
): Buffer | MigrationFailed {
  checkVersion(versions, from.version)
  let state = from.state
  for (const [version, migration] of versions.migrations) {
    if (version < from.version) continue
    const step = `its migration from version ${version} to ${version + 1}`
    const fail = (problem: string, error?: unknown): MigrationFailed =>
      new MigrationFailed(
        `${versions.type}: ${step} ${problem}. The actor stays as it was, of version ${from.version}, and executes nothing: correct the migration, and start all replicas with that build`,
        error,
      )
    const next = run(migration, state, `${versions.type}: ${step}`, fail)
    if (next instanceof MigrationFailed) return next
    if (options.runs === 2) {
      const again = run(migration, state, `${versions.type}: ${step}`, fail)
      if (again instanceof MigrationFailed || !again.equals(next))
        return fail("ran twice on equal fields and gave different ones: it depends on something else")
    }
    const isLast = version + 1 === versions.version
    const complete = isLast
      ? completed(
          next,
          guard.silently(() => new versions.actorClass()),
          fail,
        )
      : next
    if (complete instanceof MigrationFailed) return complete
    state = complete
  }
  return Buffer.from(state)
}

/** The migrations of a class, in their order, once they are known to be sound. */
export function readMigrations(
  given: unknown,
  version: number,
  fail: (problem: string, remedy: string) => never,
): ReadonlyMap<number, Migration> {
  if (given === undefined) return new Map()
  if (typeof given !== "object" || given === null || Array.isArray(given))
    return fail("its migrations are no object", EXAMPLE)
  const migrations = new Map<number, Migration>()
  for (const [key, migration] of Object.entries(given)) {
    const from = Number(key)
    if (!Number.isSafeInteger(from) || String(from) !== key || from < 1 || from >= version)
      fail(
        `it has a migration from ${JSON.stringify(key)}, which is no version before its own, ${version}`,
        "Name each migration after the version that it begins with, from 1",
      )
    if (typeof migration !== "function")
      return fail(`its migration from version ${key} is no function`, EXAMPLE)
    if (migration.constructor.name !== "Function")
      fail(
        `its migration from version ${key} is asynchronous or a generator`,
        "Return the new fields at once: they may depend on nothing but the old ones",
      )
    migrations.set(from, migration as Migration) // a function: what it takes and returns shows when it runs
  }
  const oldest = Math.min(...migrations.keys())
  for (let from = oldest; from < version; from++)
    if (!migrations.has(from))
      fail(
        `it has a migration from version ${oldest}, and none from version ${from} to ${from + 1}`,
        "Give one for each version from the oldest that is still in a checkpoint",
      )
  return migrations
}

const EXAMPLE =
  'Write migrations: { 1: (state) => ({ ...state, currency: "EUR" }) } to go from version 1 to 2'

interface Bivariant {
  // a method: its parameter may be declared narrower than what is known of it
  migrate(state: Fields): Fields
}

type Fail = (problem: string, error?: unknown) => MigrationFailed

/** One migration under the guard. What it makes is encoded at once, so that nothing it keeps is part of the state. */
function run(migration: Migration, state: Uint8Array, where: string, fail: Fail): Buffer | MigrationFailed {
  const fields = decodeState(state)
  let made: unknown
  let thrown: { readonly error: unknown } | undefined
  guard.enter(() => where)
  try {
    made = guard.silently(() => migration(fields))
  } catch (error) {
    thrown = { error }
  }
  const violation = guard.leave()
  if (violation !== undefined)
    return fail(`called ${violation.call}, which differs from replica to replica`, violation)
  if (thrown !== undefined) return fail(`threw ${nameOf(thrown.error)}`, thrown.error)
  return encoded(made, fail)
}

function encoded(made: unknown, fail: Fail): Buffer | MigrationFailed {
  try {
    if (made instanceof Promise) {
      void made.catch(() => undefined) // nobody waits for it, and its rejection must not end the process
      return fail("returned a promise, and a migration is synchronous")
    }
    if (typeof made !== "object" || made === null || Object.getPrototypeOf(made) !== Object.prototype)
      return fail("returned no plain object of fields")
    return encodeState(made)
  } catch (cause) {
    if (cause instanceof Unsupported) return fail(`returned what is no data: ${cause.message}`, cause)
    return fail("returned what cannot be read", cause) // a proxy
  }
}

/**
 * A field that each new actor has, and this one would not, is one that the migration forgot: commands would meet undefined.
 * The fields stand in the order of a new actor's, so that its objects are of one shape with theirs.
 */
function completed(state: Buffer, fresh: object, fail: Fail): Buffer | MigrationFailed {
  const [fields, names] = [decodeState(state), Object.keys(fresh)]
  const missing = names.find((name) => !Object.hasOwn(fields, name))
  if (missing !== undefined) return fail(`left out the field ${missing}, which each new actor has`)
  return encodeState(
    Object.fromEntries([...names, ...Object.keys(fields)].map((name) => [name, fields[name]])),
  )
}

/** Its message may differ between builds of Node; its name is the same on all replicas. */
function nameOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.name).slice(0, 64) : "something that is no Error"
  } catch {
    return "something that cannot be read"
  }
}
