import {
  JetStreamApiError,
  jetstreamManager,
  type JetStreamManager,
  type StreamConfig,
  type StreamInfo,
} from "@nats-io/jetstream"
import { PermissionViolationError } from "@nats-io/transport-node"
import type { GroupName, Partition, Roster } from "@lockstep/core"
import { type Connection, LogUnavailable } from "./connection.ts"
import { copyIn } from "./roster.ts"
import { streamName } from "./subjects.ts"

/** What a stream holds just now, as far as the server that answers knows: another may know more. */
export async function streamState(
  connection: Connection,
  stream: string,
): Promise<{
  readonly logId: string
  readonly firstSeq: number
  readonly lastSeq: number
  readonly roster: Roster
  readonly rosterSince: number | undefined
  /** Whether a majority of the stream's servers stands behind the answer: one that was cut off tells what it held before. */
  readonly isLed: boolean
}> {
  const info = await (await manager(connection)).streams.info(stream)
  const { first_seq: firstSeq, last_seq: lastSeq } = info.state
  const { metadata } = info.config
  const { roster, since: rosterSince } = copyIn(metadata)
  const logId = metadata?.["log_id"] ?? ""
  return { logId, firstSeq, lastSeq, roster, rosterSince, isLed: isLed(info) }
}

/** A leader that is cut off goes on leading for 10 to 20 s: what it says of those who follow shows it sooner. */
function isLed({ cluster }: StreamInfo): boolean {
  if (cluster === undefined) return true // there is one server only
  const { leader = "", replicas: followers = [] } = cluster
  const heard = followers.filter(({ active }) => active < UNHEARD_NS_MAX).length
  return leader !== "" && 2 * (1 + heard) > 1 + followers.length
}

/** Followers answer their leader every second. */
const UNHEARD_NS_MAX = 4e9

/** The stream's description, or undefined where there is none. Rejects with {@link LogUnavailable}. */
export function streamInfo(connection: Connection, stream: string): Promise<StreamInfo | undefined> {
  return patiently(connection, `the stream ${stream} could not be read`, async (streams) => {
    try {
      return await streams.info(stream)
    } catch (cause) {
      if (cause instanceof JetStreamApiError && cause.code === STREAM_NOT_FOUND) return undefined
      throw cause
    }
  })
}

/** Makes the stream, unless somebody else has. Rejects with {@link LogUnavailable}. */
export function addStream(
  connection: Connection,
  config: Partial<StreamConfig> & { readonly name: string },
): Promise<void> {
  return patiently(connection, `the stream ${config.name} could not be made`, async (streams) => {
    try {
      await streams.add(config)
    } catch (cause) {
      if (!(cause instanceof JetStreamApiError && cause.code === NAME_IN_USE)) throw cause
    }
  })
}

/** Removes the entries below a position, for good. Rejects with {@link LogUnavailable}, also where it is not permitted. */
export function truncateLog(
  connection: Connection,
  log: { readonly group: GroupName; readonly partition: Partition },
  below: number,
): Promise<void> {
  const stream = streamName(log.group, log.partition)
  return patiently(connection, `the stream ${stream} could not be truncated`, async (streams) => {
    await streams.purge(stream, { seq: below })
  })
}

/** Tries again for a while: a cluster that has just started, or lost a leader, answers late or with {@link NOT_YET}. */
export async function patiently<Result>(
  connection: Connection,
  failure: string,
  attempt: (streams: JetStreamManager["streams"]) => Promise<Result>,
): Promise<Result> {
  const deadlineMs = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return await attempt((await manager(connection)).streams)
    } catch (cause) {
      const final =
        cause instanceof PermissionViolationError ||
        (cause instanceof JetStreamApiError && !NOT_YET.has(cause.code))
      if (performance.now() > deadlineMs || final || connection.nats.isClosed())
        throw new LogUnavailable(
          connection.nats.getServer(),
          `${failure}: ${cause instanceof Error ? cause.message : String(cause)}`,
        )
    }
    await new Promise((resolve) => setTimeout(resolve, ATTEMPT_WAIT_MS))
  }
}

const PATIENCE_MS = 10_000
const ATTEMPT_WAIT_MS = 200
const STREAM_NOT_FOUND = 10059
/** JetStream's answer to a stream that exists with other settings: another replica was quicker. */
const NAME_IN_USE = 10058
/** No suitable peers, no leader, insufficient resources, temporarily unavailable: a cluster that is starting says these. */
const NOT_YET = new Set([10004, 10005, 10008, 10009, 10023, 10047, 10074])

export function manager(connection: Connection): Promise<JetStreamManager> {
  return jetstreamManager(connection.nats, { checkAPI: false, timeout: 2000 })
}
