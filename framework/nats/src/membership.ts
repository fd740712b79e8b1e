import {
  decodeEnvelope,
  encodeReconfiguration,
  type GroupName,
  Malformed,
  objectionTo,
  OPERATOR,
  type Partition,
  type Roster,
} from "@lockstep/core"
import { append, type AppendResult } from "./append.ts"
import { type Connection, LogUnavailable } from "./connection.ts"
import { metadataOf, rosterOf, type StatedRoster } from "./roster.ts"
import { manager, patiently } from "./stream.ts"
import { entrySubject, streamName } from "./subjects.ts"

/** One partition's log. */
export interface Log {
  readonly group: GroupName
  readonly partition: Partition
}

/** Reads the copy. Rejects with LogUnavailable, at once: whoever asks will ask again. */
export async function readRoster(connection: Connection, log: Log): Promise<Roster> {
  try {
    const { config } = await (await manager(connection)).streams.info(streamName(log.group, log.partition))
    return rosterOf(config.metadata)
  } catch (cause) {
    throw new LogUnavailable(
      connection.nats.getServer(),
      cause instanceof Error ? cause.message : String(cause),
    )
  }
}

/** The roster that the log states: whatever operators wrote after the copy was made. Rejects with LogUnavailable. */
export async function statedRoster(
  connection: Connection,
  log: Log,
  copy: Roster,
  quorum: number,
): Promise<StatedRoster> {
  const stream = streamName(log.group, log.partition)
  let current: StatedRoster = { roster: copy, since: undefined }
  for (let seq = 1; ;) {
    const query = { seq, next_by_subj: entrySubject(log.group, log.partition, OPERATOR) }
    const message = await patiently(connection, `the log ${stream} could not be read`, (streams) =>
      streams.getMessage(stream, query),
    )
    if (message === null) return current
    seq = message.seq + 1
    const next = rosterIn(message.data)
    if (next === undefined) continue
    const stated = { source: OPERATOR, current: current.roster, quorum }
    if (objectionTo(next, stated) === undefined) current = { roster: next, since: message.seq }
  }
}

/** States a roster in the log, in an operator's name. */
export function stateRoster(connection: Connection, log: Log, roster: Roster): Promise<AppendResult> {
  return append(connection, { ...log, writer: OPERATOR }, encodeReconfiguration(roster))
}

/** Copies the roster beside the log. Rejects with LogUnavailable, also where it is not permitted. */
export function copyRoster(connection: Connection, log: Log, stated: StatedRoster): Promise<void> {
  const stream = streamName(log.group, log.partition)
  return patiently(connection, `the metadata of ${stream} could not be changed`, async (streams) => {
    const { config } = await streams.info(stream)
    await streams.update(stream, {
      metadata: { ...config.metadata, ...metadataOf(stated) },
    })
  })
}

function rosterIn(bytes: Uint8Array): Roster | undefined {
  try {
    const envelope = decodeEnvelope(bytes)
    return envelope._tag === "Reconfiguration" ? envelope.roster : undefined
  } catch (cause) {
    if (cause instanceof Malformed) return undefined
    throw cause
  }
}
