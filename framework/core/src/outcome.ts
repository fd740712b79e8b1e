import { asBuffer, ByteReader, type ByteWriter, Malformed } from "./bytes.ts"
import { type Canonical, decodeFrom, encodeInto, Unsupported } from "./canonical.ts"

/** What a command came to, at one log position: the same on every correct replica, and what replicas vote on. */
export type Outcome =
  | { readonly _tag: "Returned"; readonly value: Canonical }
  /** The actor threw. Code and data are voted on; messages and stacks are not, they differ between builds. */
  | { readonly _tag: "Threw"; readonly code: string; readonly data: Canonical }
  /** The framework refused, by a rule that every replica applies alike. */
  | { readonly _tag: "Refused"; readonly reason: Refusal; readonly detail: string }

const REFUSALS = [
  "UnknownActor",
  "UnknownMethod",
  "InvalidArgument",
  "ResultUnsupported",
  "ResultTooLarge",
  "StateUnsupported",
  "QueryChangedState",
  "Nondeterminism",
  "AsyncCommand",
  "SessionExpired",
  "NumberReused",
] as const

export type Refusal = (typeof REFUSALS)[number]

/** Throws `Unsupported` (and writes nothing) for a value without canonical bytes. */
export function writeReturned(writer: ByteWriter, value: unknown): void {
  const start = writer.length
  writer.byte(Kind.Returned)
  try {
    encodeInto(writer, value, "result")
  } catch (cause) {
    writer.truncate(start)
    throw cause
  }
}

/** Throws `Unsupported` (and writes nothing) for data without canonical bytes, and for a code that is no text after all. */
export function writeThrew(writer: ByteWriter, code: string, data: unknown): void {
  if (typeof code !== "string") throw new Unsupported("code", `is a ${typeof code}, and not a text`)
  const start = writer.length
  writer.byte(Kind.Threw)
  try {
    encodeInto(writer, code, "code")
    encodeInto(writer, data, "data")
  } catch (cause) {
    writer.truncate(start)
    throw cause
  }
}

export function writeRefused(writer: ByteWriter, reason: Refusal, detail: string): void {
  writer.byte(Kind.Refused)
  writer.byte(REFUSALS.indexOf(reason))
  writer.string(detail.toWellFormed())
}

/** The outcomes of a batch's commands, in order. Throws `Malformed`. */
export function decodeOutcomes(bytes: Uint8Array, count: number): ReadonlyArray<Outcome> {
  const reader = new ByteReader(bytes)
  const outcomes: Array<Outcome> = []
  for (let i = 0; i < count; i++) outcomes.push(readOutcome(reader))
  reader.end()
  return outcomes
}

/** The bytes of each of them, in order: views. Throws `Malformed`. */
export function splitOutcomes(bytes: Uint8Array, count: number): ReadonlyArray<Buffer> {
  const whole = asBuffer(bytes)
  const reader = new ByteReader(bytes)
  const parts: Array<Buffer> = []
  for (let i = 0; i < count; i++) {
    const start = reader.position
    readOutcome(reader)
    parts.push(whole.subarray(start, reader.position))
  }
  reader.end()
  return parts
}

/** Whether these are the bytes of an outcome that is a command's result: most are, and need not be decoded to know that. */
export function isReturned(bytes: Uint8Array): boolean {
  return bytes[0] === Kind.Returned
}

const Kind = { Returned: 0, Threw: 1, Refused: 2 } as const

function readOutcome(reader: ByteReader): Outcome {
  const kind = reader.byte()
  switch (kind) {
    case Kind.Returned:
      return { _tag: "Returned", value: decodeFrom(reader) }
    case Kind.Threw: {
      const code = decodeFrom(reader)
      if (typeof code !== "string") throw new Malformed("the code of an error is a text")
      return { _tag: "Threw", code, data: decodeFrom(reader) }
    }
    case Kind.Refused: {
      const reason = REFUSALS[reader.byte()]
      if (reason === undefined) throw new Malformed("no such refusal")
      return { _tag: "Refused", reason, detail: reader.string() }
    }
    default:
      throw new Malformed(`no outcome is of kind ${kind}`)
  }
}
