import type { Connection } from "@lockstep/nats"
import { noticeSubject, voteSubject } from "./subjects.ts"
import type { Executions } from "./telemetry/executions.ts"
import type { Place } from "./telemetry/place.ts"

/** Clients may ask a replica to tell of commands that were not sampled. It answers where it votes. Returns what ends that. */
export function hearNotices(
  connection: Connection,
  { group, partition, replica }: Place,
  executions: Executions,
): () => void {
  return connection.subscribe(noticeSubject(group, partition), (_, bytes) =>
    executions.hear(bytes, (client, told) => connection.publish(voteSubject(group, replica, client), told)),
  )
}
