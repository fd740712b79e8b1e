import { GroupName, ReplicaId } from "@lockstep/core"
import {
  type Acceptance,
  type ConnectionOptions,
  createGroup as create,
  type Environment,
  type GroupDescriptor,
  type LogSettings,
  openConnection,
} from "@lockstep/nats"

/** What a new group is to be. */
export interface CreateGroupOptions extends Omit<ConnectionOptions, "name"> {
  /** Default: `"main"`. */
  readonly group?: string
  /** The names of its replicas: 2f+1 of them to mask f wrong ones, f+1 to mask f crashed ones. */
  readonly replicas: ReadonlyArray<string>
  /** Logs, each with an order of its own, over which the actors are spread. For good. Default: 1. */
  readonly partitions?: number
  /**
   * Replicas take a checkpoint each time that they have executed so many batches, or 250,000 commands, or as many bytes as an eighth of the log has room for. For
   * good. Default: 10,000.
   */
  readonly checkpointEveryBatches?: number
  readonly log: LogSettings
  /** Default: `"production"`, which refuses unsafe settings. */
  readonly environment?: Environment
  /** Unsafe settings that are knowingly accepted. */
  readonly accept?: ReadonlyArray<Acceptance>
}

/**
 * Makes a replica group, or finds it made as it is wanted. An operator does this once, with credentials that replicas need
 * not have.
 *
 * Rejects with LogUnavailable, ServerTooOld, GroupMismatch or UnsafeSetting.
 */
export async function createGroup(options: CreateGroupOptions): Promise<GroupDescriptor> {
  const { group = "main", partitions = 1, log, environment = "production", accept = [] } = options
  const { checkpointEveryBatches = CHECKPOINT_EVERY_BATCHES } = options
  const replicas = replicaIds(options.replicas)
  const connection = await openConnection({ ...options, name: "lockstep-create-group" })
  try {
    return await create(connection, {
      group: GroupName(group),
      replicas,
      partitions,
      checkpointEveryBatches,
      log,
      environment,
      accept,
    })
  } finally {
    await connection.close()
  }
}

/**
 * Where a group is made without saying: to execute so many batches of one command again takes a replica a tenth of a second, and of many commands a
 * checkpoint is due sooner anyway. With a tenth of it, one call in a hundred met a checkpoint where they came one at a time.
 */
export const CHECKPOINT_EVERY_BATCHES = 10_000

/** The names of a group's replicas. Throws TypeError: of three with one name, two could not be told from each other. */
export function replicaIds(names: ReadonlyArray<string>): ReadonlyArray<ReplicaId> {
  if (names.length === 0 || new Set(names).size < names.length)
    throw new TypeError(
      `a group has replicas that each have a name of their own, and these are ${names.join(", ") || "none"}`,
    )
  return names.map(ReplicaId)
}
