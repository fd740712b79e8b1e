import {
  type Attestation,
  decodeEnvelope,
  encodeUpgrade,
  type Envelope,
  Malformed,
  OPERATOR,
  type Schema,
} from "@lockstep/core"
import { append, type AppendResult } from "./append.ts"
import type { Connection } from "./connection.ts"
import type { Log } from "./membership.ts"
import { patiently } from "./stream.ts"
import { attestationsSubject, entrySubject, streamName } from "./subjects.ts"

/** States a schema in the log, in an operator's name. */
export function stateSchema(connection: Connection, log: Log, schema: Schema): Promise<AppendResult> {
  return append(connection, { ...log, writer: OPERATOR }, encodeUpgrade(schema))
}

/** What operators wrote of schemas, as far as the log reaches back, whether or not it takes effect. Rejects with LogUnavailable. */
export async function statedSchemas(
  connection: Connection,
  log: Log,
): Promise<ReadonlyArray<{ readonly seq: number; readonly schema: Schema }>> {
  const stated: Array<{ readonly seq: number; readonly schema: Schema }> = []
  for await (const { seq, envelope } of entries(
    connection,
    log,
    entrySubject(log.group, log.partition, OPERATOR),
    1,
  ))
    if (envelope._tag === "Upgrade") stated.push({ seq, schema: envelope.schema })
  return stated
}

/** What replicas attest from this position on, each under its own name. Rejects with LogUnavailable. */
export async function attestations(
  connection: Connection,
  log: Log,
  fromSeq: number,
): Promise<ReadonlyArray<Attestation>> {
  const found: Array<Attestation> = []
  const subject = attestationsSubject(log.group, log.partition)
  for await (const { envelope, source } of entries(connection, log, subject, fromSeq))
    if (envelope._tag === "Attestation" && source === envelope.replica) found.push(envelope)
  return found
}

/** The entries on a subject, one after the other, until there are no more. `source` is the end of the subject of each. */
async function* entries(
  connection: Connection,
  log: Log,
  subject: string,
  fromSeq: number,
): AsyncGenerator<{ readonly seq: number; readonly source: string; readonly envelope: Envelope }> {
  const stream = streamName(log.group, log.partition)
  for (let seq = fromSeq; ;) {
    const query = { seq, next_by_subj: subject }
    const message = await patiently(connection, `the log ${stream} could not be read`, (streams) =>
      streams.getMessage(stream, query),
    )
    if (message === null) return
    seq = message.seq + 1
    const envelope = understood(message.data)
    const source = message.subject.split(".").at(-1) ?? ""
    if (envelope !== undefined) yield { seq: message.seq, source, envelope }
  }
}

function understood(bytes: Uint8Array): Envelope | undefined {
  try {
    return decodeEnvelope(bytes)
  } catch (cause) {
    if (cause instanceof Malformed) return undefined
    throw cause
  }
}
