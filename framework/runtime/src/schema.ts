import { setTimeout as sleep } from "node:timers/promises"
import { type ActorClass, define, defineAll } from "@lockstep/actor"
import {
  GroupName,
  isSameVersions,
  objectionToSchema,
  OPERATOR,
  Partition,
  type ReplicaId,
  type Schema,
} from "@lockstep/core"
import {
  attestations,
  type Connection,
  type ConnectionOptions,
  describeGroup,
  type Log,
  LogUnavailable,
  openConnection,
  stateSchema,
  statedRoster,
  statedSchemas,
} from "@lockstep/nats"
import { hostable } from "./hosting.ts"
import { onReports, REPORTS_MS } from "./reports.ts"

/** Which build a group is to go on with. */
export interface UpgradeOptions extends Omit<ConnectionOptions, "name"> {
  /** Default: `"main"`. */
  readonly group?: string
  /** All classes of the new build, those included that did not change. */
  readonly actors: ReadonlyArray<ActorClass>
  /** How long to wait for the checkpoints that the new build begins with, milliseconds. Default: 60 000. */
  readonly deadlineMs?: number
}

/** The group could not go on with that build. Nothing was changed: it goes on as it is. */
export class UpgradeRefused extends Error {
  readonly _tag = "UpgradeRefused"
  override readonly name = "UpgradeRefused"
  readonly partition: Partition

  constructor(partition: Partition, why: string, remedy: string) {
    super(`the group goes on as it is, because in partition ${partition} ${why}. ${remedy}`)
    this.partition = partition
  }
}

/**
 * The log states it, and the old build executes nothing after that; but too few replicas hold the checkpoint that the new build
 * begins with. Start what is missing with the old build, and say it again: it waits again.
 */
export class UpgradeUnfinished extends Error {
  readonly _tag = "UpgradeUnfinished"
  override readonly name = "UpgradeUnfinished"
  readonly partition: Partition
  readonly holders: ReadonlyArray<ReplicaId>

  constructor(partition: Partition, seq: number, found: Holders) {
    const { holders, needed } = found
    super(
      `entry ${seq} of partition ${partition} states the upgrade, and the checkpoint that the new build begins with is on the disks of ${holders.join(", ") || "nobody"}, where ${needed} replicas must hold it. Do not start the new build yet: see that the replicas of the old one are up, and say it again`,
    )
    this.partition = partition
    this.holders = holders
  }
}

/** Another operator was quicker, and stated another build. What was asked for here was not done. */
export class SchemaConflict extends Error {
  readonly _tag = "SchemaConflict"
  override readonly name = "SchemaConflict"
  readonly partition: Partition
  /** The version of every class, as the other one stated it. */
  readonly versions: ReadonlyMap<string, number>

  constructor(partition: Partition, { versions }: Schema) {
    super(
      `another operator upgraded partition ${partition} at the same time, to ${described(versions)}. Look at it, and say again what you want`,
    )
    this.partition = partition
    this.versions = versions
  }
}

/**
 * Says in the log from where on the versions of this build count. Replicas of the old build execute nothing after that entry, and
 * calls wait, until as many replicas as it takes to decide were started with the new build: do that as soon as this resolves. It
 * resolves when so many replicas hold the checkpoint at that entry that it is surely there. Yields the position of the entry in each
 * partition; undefined where the log no longer holds it.
 *
 * Before the first upgrade of a group it also says, one entry earlier, what was executed so far: f+1 replicas tell it. With the
 * classes that the group executes already it says that and nothing else, and nothing waits. Said again it waits again, and finishes
 * what was begun.
 *
 * An operator does this, with permissions that neither replicas nor callers have: to publish on `cmd.<group>.*.operator`,
 * `$JS.API.STREAM.NAMES`, and `$JS.API.STREAM.INFO.*` and `$JS.API.STREAM.MSG.GET.*` of the group's streams; to subscribe to
 * `peer.<group>.>` and `_INBOX.>`.
 *
 * Classes that one replica executes are upgraded by starting the replicas anew: TypeError says how, and nothing was changed.
 *
 * Rejects with UpgradeRefused (nothing was changed), UpgradeUnfinished, SchemaConflict, DefinitionError, LogUnavailable,
 * ServerTooOld, UnknownGroup or UnsafeSetting. After LogUnavailable some partitions may be upgraded and others not: say it again.
 */
export async function upgradeSchema(options: UpgradeOptions): Promise<ReadonlyArray<number | undefined>> {
  const group = GroupName(options.group ?? "main")
  const versions = new Map([...defineAll(options.actors)].map(([type, { version }]) => [type, version]))
  const [first] = options.actors
  if (first === undefined) throw new TypeError("a build has at least one actor class in `actors`")
  const { kind, execution } = define(first).mode
  if (execution === "once")
    throw new TypeError(
      `classes of the mode ${kind} are upgraded without an entry in the log: start the replicas with the new build, one after the other, the master last (it hands over when it drains). From then on an actor is migrated when it is next changed; an old build that became the master again would refuse it`,
    )
  const connection = await openConnection({ ...options, name: "lockstep-upgrade-schema" })
  try {
    const descriptor = await describeGroup(connection, group)
    const { holders: needed, quorum } = hostable(first, descriptor)
    const { deadlineMs = 60_000 } = options
    // what a replica says that was removed counts no longer, also where the copy of the roster does not say so yet
    const partitions = await Promise.all(
      descriptor.rosters.map(async (copy, index) => {
        const log = { group, partition: Partition(index) }
        const { voters } = (await statedRoster(connection, log, copy, quorum)).roster
        return new PartitionUpgrade(connection, log, { voters, needed, deadlineMs })
      }),
    )
    // no partition stops before all of them can
    await Promise.all(partitions.map((each) => each.prepare(versions)))
    return await Promise.all(partitions.map((each) => each.upgrade(versions)))
  } finally {
    await connection.close()
  }
}

type Versions = Schema["versions"]

interface Replicas {
  readonly voters: ReadonlyArray<ReplicaId>
  /** How many of them must go on. */
  readonly needed: number
  readonly deadlineMs: number
}

interface Holders {
  readonly holders: ReadonlyArray<ReplicaId>
  readonly needed: number
}

const LOOK_AGAIN_MS = 50
/** How often an entry that the log did not confirm is stated again. */
const ATTEMPTS = 5

/** The upgrade of one partition. */
class PartitionUpgrade {
  readonly #connection: Connection
  readonly #log: Log
  readonly #options: Replicas
  #current: Schema = { number: 0, versions: new Map() }
  /** The position of the entry that states the current one, where the log still holds it. */
  #seq: number | undefined

  constructor(connection: Connection, log: Log, options: Replicas) {
    this.#connection = connection
    this.#log = log
    this.#options = options
  }

  /** Finds out what the group executes, has the log say so, and sees that it could go on from a checkpoint. */
  async prepare(wanted: Versions): Promise<void> {
    this.#current = await this.#reported()
    await this.#follow()
    const { number, versions } = this.#current
    if (number === 0) await this.#state({ number: 1, versions })
    const objection = this.#objectionTo(wanted)
    if (objection !== undefined)
      throw this.#refusal(objection, "State the versions of the build that is to go on, all classes of it")
    const { needed } = this.#options
    const isThere = isSameVersions(this.#current.versions, wanted)
    const holders = isThere ? [] : await this.#holders()
    if (!isThere && holders.length < needed)
      throw this.#refusal(
        `the checkpoint of what it executes now is on the disks of ${holders.join(", ") || "nobody"}, where ${needed} replicas must hold it`,
        "See that they are up and have a `dataDir`, and say it again",
      )
  }

  /** States the upgrade, if that is not done, and waits for the checkpoint at that entry. */
  async upgrade(wanted: Versions): Promise<number | undefined> {
    if (!isSameVersions(this.#current.versions, wanted))
      await this.#state({ number: this.#current.number + 1, versions: wanted })
    const { needed } = this.#options
    const holders = await this.#holders()
    if (this.#seq !== undefined && holders.length < needed)
      throw new UpgradeUnfinished(this.#log.partition, this.#seq, { holders, needed })
    return this.#seq
  }

  #objectionTo(wanted: Versions): string | undefined {
    const { number, versions } = this.#current
    if (isSameVersions(versions, wanted)) return undefined
    return objectionToSchema(
      { number: number + 1, versions: wanted },
      { source: OPERATOR, current: this.#current },
    )
  }

  #refusal(why: string, remedy: string): UpgradeRefused {
    return new UpgradeRefused(this.#log.partition, why, remedy)
  }

  /** What enough replicas say that they execute with. */
  async #reported(): Promise<Schema> {
    const { voters, needed } = this.#options
    const reports = new Map<string, Schema>()
    const stop = onReports(this.#connection, this.#log, ({ replica, schema }) => {
      if (voters.includes(replica)) reports.set(replica, schema)
    })
    try {
      const deadlineMs = performance.now() + REPORTS_MS
      while (performance.now() < deadlineMs) {
        const agreed = [...reports.values()].find(
          (schema) => [...reports.values()].filter((other) => isSame(schema, other)).length >= needed,
        )
        if (agreed !== undefined) return agreed
        await sleep(LOOK_AGAIN_MS)
      }
    } finally {
      stop()
    }
    const said = [...reports].map(([replica, { versions }]) => `${replica} executes ${described(versions)}`)
    throw this.#refusal(
      `${needed} replicas must be up and execute with the same versions, and ${said.join(", ") || "none is heard of"}`,
      "Start what is missing, with the build that the group has had, and say it again",
    )
  }

  /** What the log states beyond what is known. */
  async #follow(): Promise<void> {
    for (const { seq, schema } of await statedSchemas(this.#connection, this.#log)) {
      const isNext = objectionToSchema(schema, { source: OPERATOR, current: this.#current }) === undefined
      if (!isNext && !(schema.number > 0 && isSame(schema, this.#current))) continue
      if (isNext || this.#seq === undefined) this.#seq = seq
      this.#current = schema
    }
  }

  async #state(next: Schema): Promise<void> {
    const before = this.#current.number
    for (let left = ATTEMPTS; left > 0 && this.#current.number === before; left--) {
      // an entry that comes twice takes effect once
      const result = await stateSchema(this.#connection, this.#log, next)
      if (result._tag === "Refused") throw this.#unavailable(result.detail)
      await this.#follow()
    }
    if (this.#current.number === before) throw this.#unavailable("the log did not confirm the entry")
    if (!isSame(this.#current, next)) throw new SchemaConflict(this.#log.partition, this.#current)
  }

  #unavailable(detail: string): LogUnavailable {
    return new LogUnavailable(this.#connection.nats.getServer(), detail)
  }

  /** Voters whose disks hold the checkpoint at the entry, alike: as many as are needed, or as there are after some time. */
  async #holders(): Promise<ReadonlyArray<ReplicaId>> {
    const { voters, needed, deadlineMs } = this.#options
    if (this.#seq === undefined) return voters // it was long ago
    const untilMs = performance.now() + deadlineMs
    for (;;) {
      const said = (await attestations(this.#connection, this.#log, this.#seq)).filter(
        ({ seq, durable, replica }) => seq === this.#seq && durable && voters.includes(replica),
      )
      const alike = Map.groupBy(said, ({ state, chain }) => `${state} ${chain}`)
      const sets = [...alike.values()].map((same) => new Set(same.map(({ replica }) => replica)))
      const holders = [...(sets.toSorted((a, b) => b.size - a.size)[0] ?? [])]
      if (holders.length >= needed || performance.now() > untilMs) return holders
      await sleep(LOOK_AGAIN_MS)
    }
  }
}

function isSame(a: Schema, b: Schema): boolean {
  return a.number === b.number && isSameVersions(a.versions, b.versions)
}

function described(versions: Versions): string {
  return [...versions].map(([type, version]) => `${type} ${version}`).join(", ")
}
