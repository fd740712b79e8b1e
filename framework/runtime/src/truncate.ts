import { GroupName, Partition } from "@lockstep/core"
import {
  type Connection,
  type ConnectionOptions,
  describeGroup,
  type GroupDescriptor,
  openConnection,
  openTail,
  truncateLog,
} from "@lockstep/nats"
import type { Certificates, ReplicationMode } from "@lockstep/replication"

/** Whose logs are to be truncated, and how far. */
export interface TruncateOptions extends Omit<ConnectionOptions, "name"> {
  /** Default: `"main"`. */
  readonly group?: string
  /** The mode of the classes that the group hosts: it says how many replicas must hold a checkpoint. */
  readonly mode: ReplicationMode
  /** Entries that are left below the checkpoint: replicas that are a little behind need not fetch it. */
  readonly marginEntries: number
}

/** A log, as it is now. */
export interface TruncatedLog {
  readonly partition: Partition
  /** The first entry that it holds. */
  readonly firstSeq: number
  readonly lastSeq: number
}

/**
 * Removes from a group's logs what no replica needs any more: entries below the last checkpoint that enough replicas attest, in the
 * log, to hold on their disks. Reads what the logs hold, and takes nobody's word for it. Does nothing where there is no such
 * checkpoint.
 *
 * An operator does this from time to time, with permissions that replicas had better not have (one that may purge a log can destroy
 * it): `$JS.API.STREAM.PURGE.*`, `$JS.API.STREAM.INFO.*` and `$JS.API.CONSUMER.*` of the group's streams. Where replicas are trusted
 * with that, `truncateMarginEntries` in their settings does the same by itself.
 *
 * Rejects with LogUnavailable (some logs may have been truncated), ServerTooOld, UnknownGroup or UnsafeSetting.
 */
export async function truncateLogs(options: TruncateOptions): Promise<ReadonlyArray<TruncatedLog>> {
  const { mode, marginEntries } = options
  const connection = await openConnection({ ...options, name: "lockstep-truncate" })
  try {
    const group = await describeGroup(connection, GroupName(options.group ?? "main"))
    const logs: Array<TruncatedLog> = []
    for (let index = 0; index < group.partitions; index++) {
      const partition = Partition(index)
      const { certificates, firstSeq, lastSeq } = await readCertificates(connection, group, partition, mode)
      const below = (certificates.durable?.seq ?? 0) - marginEntries
      if (below > firstSeq) await truncateLog(connection, { group: group.group, partition }, below)
      logs.push({ partition, firstSeq: Math.max(below, firstSeq), lastSeq })
    }
    return logs
  } finally {
    await connection.close()
  }
}

/** What replicas attest in what a log holds at this moment. */
async function readCertificates(
  connection: Connection,
  group: GroupDescriptor,
  partition: Partition,
  mode: ReplicationMode,
): Promise<{ readonly certificates: Certificates; readonly firstSeq: number; readonly lastSeq: number }> {
  const read = Promise.withResolvers<Awaited<ReturnType<typeof readCertificates>>>()
  let log: { certificates: Certificates; firstSeq: number; lastSeq: number } | undefined
  const tail = openTail(
    connection,
    { group: group.group, partition, from: () => 1 },
    {
      onAttached: ({ firstSeq: first, lastSeq, roster }) => {
        const firstSeq = Math.max(1, first) // a log that never held an entry says 0
        log = { certificates: mode.certificates({ from: firstSeq, roster }), firstSeq, lastSeq }
        if (lastSeq < firstSeq) read.resolve(log)
      },
      onAway: () => undefined, // it is attached to again
      onEntries: (entries) => {
        log?.certificates.read(entries)
        if (log !== undefined && (entries.at(-1)?.seq ?? 0) >= log.lastSeq) read.resolve(log)
      },
    },
  )
  try {
    return await read.promise
  } finally {
    tail.close()
  }
}
