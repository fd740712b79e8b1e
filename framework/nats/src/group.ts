import { randomUUID } from "node:crypto"
import { type GroupName, Partition, type ReplicaId, type Roster } from "@lockstep/core"
import type { StreamInfo } from "@nats-io/jetstream"
import type { Connection } from "./connection.ts"
import {
  type Acceptance,
  checkLog,
  checkSync,
  type Environment,
  logConfig,
  type LogSettings,
  readSyncSettings,
} from "./settings.ts"
import { GENESIS_KEY, genesisOf, rosterOf } from "./roster.ts"
import { addStream, manager, streamInfo } from "./stream.ts"
import { streamName } from "./subjects.ts"

/** What callers and replicas of a group must agree on. It is kept in the metadata of the group's streams. */
export interface GroupDescriptor {
  readonly group: GroupName
  /** The replicas that it was made with. */
  readonly replicas: ReadonlyArray<ReplicaId>
  /** Who votes and who follows now, by partition, as far as is written beside the logs. */
  readonly rosters: ReadonlyArray<Roster>
  readonly partitions: number
  /** By partition. */
  readonly logIds: ReadonlyArray<string>
  /** Bytes of one entry, at most. */
  readonly entryBytesMax: number
  /** Batches from one checkpoint to the next. */
  readonly checkpointEveryBatches: number
  /** Bytes of batches from one checkpoint to the next; Infinity where its logs have no bound, or it was made before there was this one. */
  readonly checkpointEveryBytes: number
}

/** There is no such group on these servers. Nothing was sent. */
export class UnknownGroup extends Error {
  readonly _tag = "UnknownGroup"
  override readonly name = "UnknownGroup"
  readonly group: string

  constructor(group: GroupName, known: ReadonlyArray<string>) {
    const there = known.length === 0 ? "there are none yet" : `there are ${known.join(", ")}`
    super(
      `there is no group ${JSON.stringify(group)} on these servers (${there}): start its replicas first, or correct the name`,
    )
    this.group = group
  }
}

/** The group exists, and is another one than was asked for. Nothing was changed. */
export class GroupMismatch extends Error {
  readonly _tag = "GroupMismatch"
  override readonly name = "GroupMismatch"

  constructor(
    group: GroupName,
    what: string,
    found: string,
    wanted: string,
    remedy = "use the existing ones, or another name",
  ) {
    super(
      `the group ${JSON.stringify(group)} exists with ${what} ${found}, and ${wanted} was asked for: ${remedy}`,
    )
  }
}

/** Makes the group, or finds it made: several replicas may call this at once. Rejects with GroupMismatch or UnsafeSetting. */
export async function createGroup(
  connection: Connection,
  options: {
    readonly group: GroupName
    readonly replicas: ReadonlyArray<ReplicaId>
    readonly partitions: number
    readonly checkpointEveryBatches: number
    readonly log: LogSettings
    readonly environment: Environment
    readonly accept: ReadonlyArray<Acceptance>
  },
): Promise<GroupDescriptor> {
  const { group, replicas, partitions, log } = options
  if (!Number.isSafeInteger(partitions) || partitions < 1 || partitions > PARTITIONS_MAX)
    throw new RangeError(`partitions must be a whole number from 1 to ${PARTITIONS_MAX}, not ${partitions}`)
  if (!Number.isSafeInteger(options.checkpointEveryBatches) || options.checkpointEveryBatches < 1)
    throw new RangeError(
      `checkpointEveryBatches must be a whole number from 1, not ${options.checkpointEveryBatches}`,
    )
  const configs = Array.from({ length: partitions }, (_, index) =>
    logConfig(group, Partition(index), log, {
      log_id: randomUUID(),
      [GENESIS_KEY]: replicas.join(","),
      [META.partitions]: String(partitions),
      [META.checkpoints]: String(options.checkpointEveryBatches),
      [META.checkpointBytes]: String(checkpointEveryBytes(log)),
    }),
  )
  // what is unsafe is refused whether or not the log is to be had at this moment
  for (const config of configs) checkLog(config as Parameters<typeof checkLog>[0], options) // what was just made up is complete
  const existing = await readLog(connection, group, Partition(0), options)
  if (existing !== undefined) checkSame(group, existing, replicas, partitions)
  for (const config of configs) {
    if ((await streamInfo(connection, config.name)) !== undefined) continue
    await addStream(connection, config)
  }
  checkSame(group, await awaitLog(connection, group, Partition(0), options), replicas, partitions)
  return describeGroup(connection, group, options)
}

/**
 * Throws {@link GroupMismatch} where the group was made with other replicas or partitions. Who has replaced whom since does not
 * matter: a start script goes on saying what it said at first.
 */
function checkSame(
  group: GroupName,
  log: StreamInfo,
  replicas: ReadonlyArray<ReplicaId>,
  partitions: number,
): void {
  const metadata = log.config.metadata ?? {}
  const compare = (what: string, is: string, wanted: string): void => {
    if (is !== wanted) throw new GroupMismatch(group, what, is, wanted)
  }
  compare("replicas", metadata[GENESIS_KEY] ?? "", replicas.join(","))
  compare("partitions", metadata[META.partitions] ?? "", String(partitions))
}

/** Reads what the group is, and checks its logs' settings. Rejects with UnknownGroup or UnsafeSetting. */
export async function describeGroup(
  connection: Connection,
  group: GroupName,
  options: { readonly environment: Environment; readonly accept: ReadonlyArray<Acceptance> } = {
    environment: "development",
    accept: [],
  },
): Promise<GroupDescriptor> {
  if (options.environment === "production") checkSync(await readSyncSettings(connection), options)
  const first = await readLog(connection, group, Partition(0), options)
  if (first === undefined) throw new UnknownGroup(group, await groupNames(connection))
  const metadata = first.config.metadata ?? {}
  const partitions = Number(metadata[META.partitions])
  const logIds = [metadata["log_id"] ?? ""]
  const rosters = [rosterOf(metadata)]
  for (let index = 1; index < partitions; index++) {
    const log = await awaitLog(connection, group, Partition(index), options)
    logIds.push(log.config.metadata?.["log_id"] ?? "")
    rosters.push(rosterOf(log.config.metadata))
  }
  return Object.freeze({
    group,
    replicas: genesisOf(metadata),
    rosters,
    partitions,
    logIds,
    entryBytesMax: first.config.max_msg_size,
    checkpointEveryBatches: Number(metadata[META.checkpoints]),
    checkpointEveryBytes: Number(metadata[META.checkpointBytes] ?? Number.POSITIVE_INFINITY),
  })
}

/** Logs of one group, at most: each is a Raft group of its own. */
export const PARTITIONS_MAX = 256
const META = {
  partitions: "lockstep.partitions",
  checkpoints: "lockstep.checkpoint_every_batches",
  checkpointBytes: "lockstep.checkpoint_every_bytes",
}

/**
 * So that several checkpoints are due while a log fills up: it is not truncated without them, and what replicas attest of them takes room in it, too. Stated once, where
 * the group is made: an operator may give the log more room later, and all replicas must go on with one number.
 */
function checkpointEveryBytes({ maxBytes }: LogSettings): number {
  // to a server, nothing and less than that is no bound
  return maxBytes > 0 ? Math.ceil(maxBytes / CHECKPOINTS_PER_LOG) : Number.POSITIVE_INFINITY
}

const CHECKPOINTS_PER_LOG = 8

async function readLog(
  connection: Connection,
  group: GroupName,
  partition: Partition,
  options: { readonly environment: Environment; readonly accept: ReadonlyArray<Acceptance> },
): Promise<StreamInfo | undefined> {
  const info = await streamInfo(connection, streamName(group, partition))
  if (info !== undefined) checkLog(info.config, options)
  return info
}

/** The first partition exists, so the others are being made at this moment, or somebody deleted one. */
async function awaitLog(
  connection: Connection,
  group: GroupName,
  partition: Partition,
  options: { readonly environment: Environment; readonly accept: ReadonlyArray<Acceptance> },
): Promise<StreamInfo> {
  for (let left = 20; left > 0; left--) {
    const info = await readLog(connection, group, partition, options)
    if (info !== undefined) return info
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new GroupMismatch(group, "a log for partition", `${partition} missing`, "all of them")
}

async function groupNames(connection: Connection): Promise<ReadonlyArray<string>> {
  const names: Array<string> = []
  for await (const name of (await manager(connection)).streams.names()) {
    const group = /^LOG_(.+)_0$/.exec(name)?.[1]
    if (group !== undefined) names.push(group)
  }
  return names.toSorted()
}
