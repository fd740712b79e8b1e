import { type Canonical, decode, encode, Malformed } from "@lockstep/core"
import type { TransferAnswer, TransferRequest } from "@lockstep/replication"

/** What peers send each other while one of them fetches a checkpoint. */
export type TransferMessage =
  | { readonly _tag: "Asks"; readonly request: TransferRequest }
  | { readonly _tag: "Answers"; readonly answer: TransferAnswer }

export function encodeTransfer(message: TransferMessage): Buffer {
  return encode(message)
}

/** Throws {@link Malformed}. */
export function decodeTransfer(bytes: Uint8Array): TransferMessage {
  const message = record(decode(bytes))
  if (message["_tag"] === "Asks") return { _tag: "Asks", request: requestOf(record(message["request"])) }
  if (message["_tag"] === "Answers") return { _tag: "Answers", answer: answerOf(record(message["answer"])) }
  throw new Malformed("neither a request nor an answer")
}

type Fields = Readonly<Record<string, Canonical>>

function requestOf(fields: Fields): TransferRequest {
  const { _tag, wanted } = fields
  const seq = natural(fields["seq"])
  if (_tag === "Manifest") return { _tag, seq }
  if (_tag !== "Pieces" || !Array.isArray(wanted)) throw new Malformed("no such request")
  const items = (wanted as ReadonlyArray<Canonical>).map(record) // an array of canonical values
  return {
    _tag,
    seq,
    wanted: items.map(({ index, part }) => ({ index: natural(index), part: natural(part) })),
  }
}

function answerOf(fields: Fields): TransferAnswer {
  const { _tag, header, buckets, bytes } = fields
  if (_tag === "Manifest" && header instanceof Uint8Array && Array.isArray(buckets))
    return { _tag, header, buckets: (buckets as ReadonlyArray<unknown>).map(text) as never } // they are compared with digests, whatever they are
  const seq = natural(fields["seq"])
  if (_tag === "Gone" || _tag === "Paused") return { _tag, seq }
  if (_tag !== "Piece" || !(bytes instanceof Uint8Array)) throw new Malformed("no such answer")
  const { index, part, parts } = fields
  return { _tag, seq, index: natural(index), part: natural(part), parts: natural(parts), bytes }
}

function record(value: Canonical): Fields {
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    throw new Malformed("not a record")
  return value as Fields // a plain object of canonical values
}

function natural(value: unknown): number {
  if (Number.isSafeInteger(value) && Number(value) >= 0) return Number(value)
  throw new Malformed("not a whole number")
}

function text(value: unknown): string {
  if (typeof value === "string") return value
  throw new Malformed("not a text")
}
