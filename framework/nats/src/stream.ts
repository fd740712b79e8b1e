import {
  JetStreamApiError,
  jetstreamManager,
  type JetStreamManager,
  type StreamInfo,
} from "@nats-io/jetstream"
import type { Connection } from "./connection.ts"

/** What a stream holds just now, as far as the server that answers knows: another may know more. */
export async function streamState(
  connection: Connection,
  stream: string,
): Promise<{ readonly logId: string; readonly firstSeq: number; readonly lastSeq: number }> {
  const info = await (await manager(connection)).streams.info(stream)
  const { first_seq: firstSeq, last_seq: lastSeq } = info.state
  return { logId: info.config.metadata?.["log_id"] ?? "", firstSeq, lastSeq }
}

/** The stream's description, or undefined where there is none. */
export async function streamInfo(connection: Connection, stream: string): Promise<StreamInfo | undefined> {
  try {
    return await (await manager(connection)).streams.info(stream)
  } catch (cause) {
    if (cause instanceof JetStreamApiError && cause.code === STREAM_NOT_FOUND) return undefined
    throw cause
  }
}

const STREAM_NOT_FOUND = 10059

export function manager(connection: Connection): Promise<JetStreamManager> {
  return jetstreamManager(connection.nats, { checkAPI: false, timeout: 2000 })
}
