import type { ActorDefinition, Execution } from "@lockstep/actor"
import {
  type Batch,
  ByteWriter,
  decodeEnvelope,
  Malformed,
  type Opening,
  traceWithin,
  writeRefused,
} from "@lockstep/core"
import { actorIdsOf } from "../row.ts"
import type { ChangedRow, JournalRecord } from "./record.ts"

/** The actors of a batch, each once, and which of its commands are for which. */
export interface Work {
  readonly batch: Batch
  readonly actors: ReadonlyArray<ActorName>
  readonly commands: Execution["commands"]
}

export interface ActorName {
  readonly type: string
  readonly key: string
  /** Of its row in a checkpoint. Made once for all who look it up: a text that was looked up knows its hash. */
  readonly id: string
}

/** Throws Malformed for a batch that names no method. */
export function workOf(batch: Batch): Work {
  const indexes = new Map<string, number>()
  const actors: Array<ActorName> = []
  const ids = batch.methods.map(({ type }) => actorIdsOf(type))
  const commands = batch.commands.map((command) => {
    const { method, key, args } = command
    const named = batch.methods[method]
    if (named === undefined) throw new Malformed("a command names no method")
    const { type, member } = named
    const id = `${ids[method]}${key}`
    let actor = indexes.get(id)
    if (actor === undefined) {
      actor = actors.push({ type, key, id }) - 1
      indexes.set(id, actor)
    }
    return { actor, member, args, trace: traceWithin(batch, command) }
  })
  return { batch, actors, commands }
}

/** What an execution left behind: a row where it changed one. */
export function changedRows(
  actors: Work["actors"],
  rows: ReadonlyArray<Uint8Array | undefined>,
): ReadonlyArray<ChangedRow> {
  const changed: Array<ChangedRow> = []
  for (const [i, { type, key, id }] of actors.entries()) {
    const bytes = rows[i]
    if (bytes !== undefined) changed.push({ type, key, id, bytes })
  }
  return changed
}

/** Whether all that a batch asks for is queries. */
export function isQuery(batch: Batch, definitions: ReadonlyMap<string, ActorDefinition>): boolean {
  return batch.methods.every(
    ({ type, member }) => definitions.get(type)?.members.get(member)?.kind === "query",
  )
}

/** The envelope, if it is one that this client may have sent. */
export function envelopeOf(client: string, bytes: Uint8Array): Opening | Batch | undefined {
  try {
    const envelope = decodeEnvelope(bytes)
    if (envelope._tag !== "Opening" && envelope._tag !== "Batch") return undefined
    return envelope.client === client ? envelope : undefined
  } catch (cause) {
    if (cause instanceof Malformed) return undefined
    throw cause
  }
}

/** Tells a batch, or the opening of a session, from all others. */
export function keyOf(batch: {
  readonly client: string
  readonly session: number
  readonly number: number
}): string {
  return `${batch.client}/${batch.session}/${batch.number}`
}

/** The opening of a session had none when it was asked for. */
export function keyIn(record: JournalRecord): string {
  return keyOf(record.count === 0 ? { ...record, session: 0 } : record)
}

/** Why none of its commands can be executed. */
export function refusals(batch: Batch, found: "Expired" | "Overlapping"): Buffer {
  const [reason, detail] =
    found === "Expired"
      ? (["SessionExpired", "the session or the answer is no longer kept"] as const)
      : (["NumberReused", "numbers of this batch belong to another one"] as const)
  writer.reset()
  for (let i = 0; i < batch.commands.length; i++) writeRefused(writer, reason, detail)
  return writer.take()
}

const writer = new ByteWriter(4096)
