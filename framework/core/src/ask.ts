import { ByteReader, ByteWriter, Malformed } from "./bytes.ts"
import { ClientId, SessionId } from "./ids.ts"

/**
 * A client asks a replica to repeat its vote on a batch: because the vote was lost, or because the replica that should
 * have sent the bytes did not, or sent wrong ones. Nothing is executed again.
 */
export interface Ask {
  readonly client: ClientId
  readonly session: SessionId
  readonly number: number
}

export function encodeAsk(ask: Ask): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.string(ask.client)
  writer.varint(ask.session)
  writer.varint(ask.number)
  return writer.take()
}

/** Throws {@link Malformed}. */
export function decodeAsk(bytes: Uint8Array): Ask {
  const reader = new ByteReader(bytes)
  if (reader.byte() !== VERSION) throw new Malformed("not a question of this version")
  const ask = {
    client: reader.name(ClientId),
    session: SessionId(reader.varint()),
    number: reader.varint(),
  }
  reader.end()
  return ask
}

const VERSION = 0x41
const writer = new ByteWriter(128)
