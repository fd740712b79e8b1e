import { ByteReader, ByteWriter, ClientId, Malformed, ReplicaId } from "@lockstep/core"

// What clients ask replicas of a group with a single master, and what those answer. Over core NATS: anything may be lost.

/** What a client asks. */
export type Question =
  /** Execute this envelope (the opening of a session, or a batch), if you are the master of this epoch. */
  | {
      readonly _tag: "Execute"
      readonly client: ClientId
      readonly epoch: number
      /** Of all copies that the client sends, this one. Nothing carries a copy twice. */
      readonly copy: number
      readonly envelope: Uint8Array
    }
  /** The same, where an earlier attempt ended undecided: a refusal of that, or of this, does not end it. */
  | {
      readonly _tag: "ExecuteAgain"
      readonly client: ClientId
      readonly epoch: number
      readonly copy: number
      readonly envelope: Uint8Array
    }
  /** Was this batch executed? An earlier master may have, or not. Execute nothing. */
  | {
      readonly _tag: "LookUp"
      readonly client: ClientId
      readonly epoch: number
      readonly envelope: Uint8Array
    }
  /** Queries only. With a bound, any replica may answer that is not older, and holds what stands at `atLeast`. */
  | {
      readonly _tag: "Read"
      readonly client: ClientId
      readonly epoch: number
      readonly maxStalenessMs: number | undefined
      readonly atLeast: number
      readonly envelope: Uint8Array
    }
  /** Who is the master? */
  | { readonly _tag: "Locate"; readonly client: ClientId }

/** What a replica answers. `number` is that of the batch's first command. */
export type Reply =
  /** The outcomes travel beside it. */
  | {
      readonly _tag: "Answered"
      readonly epoch: number
      readonly session: number
      readonly number: number
      readonly count: number
      readonly position: number
    }
  /** It is not the master of that epoch. */
  | {
      readonly _tag: "Elsewhere"
      readonly epoch: number
      readonly master: ReplicaId | undefined
      /** The batch that is meant; undefined for the answer to `Locate`. */
      readonly number: number | undefined
      /** Whether it is sure that the batch was not executed in the epoch that it was meant for, and never will be. */
      readonly untouched: boolean
      /** The copy that it got, was not executed, and never will be. */
      readonly copy: number | undefined
    }
  /** Nothing was executed, and nothing will be. */
  | {
      readonly _tag: "Refused"
      readonly epoch: number
      readonly number: number
      readonly reason: "NotEnoughReplicas" | "Overloaded"
      readonly detail: string
    }
  /** The history of the group does not hold that batch, and never will, unless it is executed in this epoch. */
  | { readonly _tag: "Unrecorded"; readonly epoch: number; readonly number: number }
  /** The replica is older than the query allows. */
  | { readonly _tag: "Stale"; readonly epoch: number; readonly number: number }

export function encodeQuestion(question: Question): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.byte(QUESTIONS.indexOf(question._tag))
  writer.string(question.client)
  if (question._tag === "Locate") return writer.take()
  writer.varint(question.epoch)
  if (question._tag === "Read") {
    writer.varint(question.maxStalenessMs === undefined ? 0 : Math.ceil(question.maxStalenessMs) + 1)
    writer.varint(question.atLeast)
  }
  if ("copy" in question) writer.varint(question.copy)
  writer.raw(question.envelope)
  return writer.take()
}

/** Throws {@link Malformed}. */
export function decodeQuestion(bytes: Uint8Array): Question {
  const reader = new ByteReader(bytes)
  if (reader.byte() !== VERSION) throw new Malformed("not a question of this version")
  const _tag = QUESTIONS[reader.byte()]
  const client = reader.name(ClientId)
  if (_tag === undefined) throw new Malformed("no such question")
  if (_tag === "Locate") {
    reader.end()
    return { _tag, client }
  }
  const epoch = reader.varint()
  if (_tag === "LookUp") return { _tag, client, epoch, envelope: reader.raw(reader.remaining) }
  if (_tag !== "Read") {
    const copy = reader.varint()
    return { _tag, client, epoch, copy, envelope: reader.raw(reader.remaining) }
  }
  const bound = reader.varint()
  const atLeast = reader.varint()
  const maxStalenessMs = bound === 0 ? undefined : bound - 1
  return { _tag, client, epoch, maxStalenessMs, atLeast, envelope: reader.raw(reader.remaining) }
}

export function encodeReply(reply: Reply): Buffer {
  writer.reset()
  writer.byte(VERSION)
  writer.byte(REPLIES.indexOf(reply._tag))
  writer.varint(reply.epoch)
  writer.varint(reply.number === undefined ? 0 : reply.number + 1)
  switch (reply._tag) {
    case "Answered":
      writer.varint(reply.session)
      writer.varint(reply.count)
      writer.varint(reply.position)
      break
    case "Elsewhere":
      writer.string(reply.master ?? "")
      writer.byte(reply.untouched ? 1 : 0)
      writer.varint(reply.copy === undefined ? 0 : reply.copy + 1)
      break
    case "Refused":
      writer.byte(reply.reason === "Overloaded" ? 1 : 0)
      writer.string(reply.detail)
      break
    case "Unrecorded":
    case "Stale":
      break
  }
  return writer.take()
}

/** Throws {@link Malformed}. */
export function decodeReply(bytes: Uint8Array): Reply {
  const reader = new ByteReader(bytes)
  if (reader.byte() !== VERSION) throw new Malformed("not a reply of this version")
  const _tag = REPLIES[reader.byte()]
  const epoch = reader.varint()
  const named = reader.varint()
  const number = named - 1
  if (_tag === undefined) throw new Malformed("no such reply")
  if (_tag === "Elsewhere") {
    const name = reader.string()
    const untouched = reader.byte() === 1
    const next = reader.varint()
    const copy = next === 0 ? undefined : next - 1
    reader.end()
    const master = name === "" ? undefined : nameOf(name)
    return { _tag, epoch, number: named === 0 ? undefined : number, master, untouched, copy }
  }
  if (named === 0) throw new Malformed("a reply names its batch")
  const reply = readRest(_tag, { epoch, number }, reader)
  reader.end()
  return reply
}

function readRest(
  _tag: Exclude<Reply["_tag"], "Elsewhere">,
  about: { readonly epoch: number; readonly number: number },
  reader: ByteReader,
): Reply {
  switch (_tag) {
    case "Answered":
      return { _tag, ...about, session: reader.varint(), count: reader.varint(), position: reader.varint() }
    case "Refused":
      return {
        _tag,
        ...about,
        reason: reader.byte() === 1 ? "Overloaded" : "NotEnoughReplicas",
        detail: reader.string(),
      }
    case "Unrecorded":
    case "Stale":
      return { _tag, ...about }
  }
}

function nameOf(name: string): ReplicaId {
  try {
    return ReplicaId(name)
  } catch {
    throw new Malformed("no name of a replica")
  }
}

const VERSION = 0x51
const QUESTIONS = ["Execute", "LookUp", "Read", "Locate", "ExecuteAgain"] as const
const REPLIES = ["Answered", "Elsewhere", "Refused", "Unrecorded", "Stale"] as const
const writer = new ByteWriter(4096)
