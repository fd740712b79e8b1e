import { type ActorDefinition, WrongBuild } from "@lockstep/actor"
import { invariant, isSameVersions, objectionToSchema, type Schema, SCHEMA_TYPES_MAX } from "@lockstep/core"
import type { CheckpointHeader } from "./checkpoint.ts"

/** What a schema in the log is to a replica. */
export type Effect =
  /** It does not take effect: of two operators one comes too late. */
  | "ignored"
  /** It says what this build has executed, and goes on executing. */
  | "goes-on"
  /** Another build goes on from here. What was executed up to here is right. */
  | "stops"
  /** It says that everything up to here should have been executed by another build. */
  | "wrong-past"

/** Where a replica begins. */
export type Beginning =
  /** With the checkpoint that it was given; or, where it has none that it could begin with, at the first entry. */
  | "goes-on"
  /** With that checkpoint, too. It was taken where another build goes on: it executes nothing after it. */
  | "stops"
  /** With a checkpoint of peers that this build can go on from. */
  | "fetches"

/**
 * What this build executes with, and what the log says that entries are executed with. Nobody ever executes an entry with a build
 * that the schema at that entry does not name.
 */
export class Build {
  readonly #versions: Schema["versions"]
  #schema: Schema
  #since = 0
  /** Why this build executes nothing. */
  waits: string | undefined

  constructor(definitions: ReadonlyMap<string, ActorDefinition>) {
    invariant(definitions.size <= SCHEMA_TYPES_MAX, "a group hosts as many classes as a schema can name")
    this.#versions = new Map([...definitions].map(([type, { version }]) => [type, version]))
    this.#schema = { number: 0, versions: this.#versions }
  }

  /** At the last position that was executed. */
  get schema(): Schema {
    return this.#schema
  }

  /** What a checkpoint says of it. */
  get stated(): Pick<CheckpointHeader, "schema" | "since"> {
    return { schema: this.#schema, since: this.#since }
  }

  /**
   * Where to begin, with this checkpoint on the disk. Throws WrongBuild for one that only a later build can begin with; the others
   * may be waited for.
   */
  begin(header: CheckpointHeader, kept: "whole" | "shard"): Beginning {
    const { schema } = header
    if (this.fits(header)) {
      // what was stated first says what was executed since the first entry, where a replica with a shard begins
      if (kept === "shard") return schema.number <= 1 ? "goes-on" : this.#fetch(header)
      this.#adopt(header)
      return "goes-on"
    }
    if (!this.#isOlderThan(schema)) return this.#fetch(header)
    const later = this.#difference(schema)
    if (later !== undefined && !this.endsWith(header)) throw wrongBuild(later)
    if (kept === "shard") return "goes-on"
    this.#adopt(header)
    this.waits = this.#described(header)
    return "stops"
  }

  /** Whether this build goes on from a checkpoint. */
  fits({ schema }: Pick<CheckpointHeader, "schema">): boolean {
    return isSameVersions(schema.versions, this.#versions)
  }

  /** Whether a checkpoint was taken where a later build goes on: this one can hold it for that one, and no other of that schema. */
  endsWith({ schema, since, seq }: Pick<CheckpointHeader, "schema" | "since" | "seq">): boolean {
    return seq === since && this.#isOlderThan(schema)
  }

  /** The log states a schema, at this position. */
  follow(next: Schema, stated: { readonly source: string; readonly seq: number }): Effect {
    const { source, seq } = stated
    const current = this.#schema
    if (objectionToSchema(next, { source, current }) !== undefined) return "ignored"
    this.#adopt({ schema: next, since: seq })
    if (this.fits({ schema: next })) return "goes-on"
    this.waits = this.#described({ schema: next, since: seq })
    return current.number === 0 ? "wrong-past" : "stops"
  }

  /** Peers have a checkpoint that this build cannot go on from. */
  refused(header: CheckpointHeader): void {
    this.waits = this.#described(header)
  }

  #adopt({ schema, since }: Pick<CheckpointHeader, "schema" | "since">): void {
    this.#schema = schema
    this.#since = since
  }

  #fetch(header: CheckpointHeader): "fetches" {
    this.waits = this.#described(header)
    return "fetches"
  }

  #isOlderThan({ versions }: Schema): boolean {
    return [...this.#versions].every(([type, version]) => version <= (versions.get(type) ?? 0))
  }

  #described({ schema, since }: Pick<CheckpointHeader, "schema" | "since">): string {
    const found = this.#difference(schema)
    if (found === undefined) return "a checkpoint of peers is needed, which has not come yet"
    const { type, theirs, own } = found
    const what = theirs === undefined ? `no class ${type} is hosted` : `${type} has version ${theirs}`
    const where = since === 0 ? "the group's replicas say that" : `entry ${since} says that`
    const here = own === undefined ? "this build does not host it" : `this build has version ${own}`
    const isOld = (theirs ?? 0) > (own ?? 0)
    const remedy = isOld
      ? "start the build that has it"
      : "it waits for the entry that upgrades the group, and for a checkpoint that was taken there"
    return `${where} ${what}, and ${here}: ${remedy}`
  }

  /** A class whose versions differ; first one of which this build has the older. */
  #difference({ versions }: Schema): Difference | undefined {
    const types = new Set([...versions.keys(), ...this.#versions.keys()])
    const differences = [...types]
      .map((type): Difference => ({ type, theirs: versions.get(type), own: this.#versions.get(type) }))
      .filter(({ theirs, own }) => theirs !== own)
    return differences.find(({ theirs = 0, own = 0 }) => theirs > own) ?? differences[0]
  }
}

interface Difference {
  readonly type: string
  readonly theirs: number | undefined
  readonly own: number | undefined
}

function wrongBuild({ type, theirs, own }: Difference): WrongBuild {
  return own === undefined
    ? new WrongBuild(type, "which is not hosted here", "start the build that hosts it")
    : new WrongBuild(
        type,
        `and version ${theirs}, and this build has version ${own} of its class`,
        "start the build that wrote it, or a later one",
      )
}
