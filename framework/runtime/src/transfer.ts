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
  if (fields["_tag"] === "Manifest") return { _tag: "Manifest" }
  if (fields["_tag"] !== "Buckets" || !Array.isArray(fields["indexes"]))
    throw new Malformed("no such request")
  const items: ReadonlyArray<unknown> = fields["indexes"]
  return { _tag: "Buckets", seq: natural(fields["seq"]), indexes: items.map(natural) }
}

function answerOf(fields: Fields): TransferAnswer {
  const { _tag, header, buckets, rows } = fields
  if (_tag === "Gone") return { _tag, seq: natural(fields["seq"]) }
  if (_tag === "Manifest" && header instanceof Uint8Array && Array.isArray(buckets))
    return { _tag, header, buckets: (buckets as ReadonlyArray<unknown>).map(text) as never } // they are compared with digests, whatever they are
  if (_tag === "Bucket" && rows instanceof Map)
    return {
      _tag,
      seq: natural(fields["seq"]),
      index: natural(fields["index"]),
      rows: rowsOf(rows),
    }
  throw new Malformed("no such answer")
}

function rowsOf(rows: Iterable<readonly [unknown, unknown]>): ReadonlyMap<string, Uint8Array> {
  const checked = new Map<string, Uint8Array>()
  for (const [id, bytes] of rows) checked.set(text(id), blob(bytes))
  return checked
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

function blob(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw new Malformed("not bytes")
}
