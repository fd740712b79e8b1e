import type { ActorRow } from "@lockstep/actor"
import { Malformed, SessionId } from "@lockstep/core"

/** The id under which a checkpoint keeps an actor. (A type has no zero in it: a key may have, and stands last.) */
export function actorId(type: string, key: string): string {
  return actorIdsOf(type) + key
}

/** What the ids of all actors of a type begin with: their keys follow. */
export function actorIdsOf(type: string): string {
  return `${ACTOR}${type}\0`
}

const ACTOR = "actor\0"

/** Whether it is the id of an actor, and not of a session. */
export function isActorId(id: string): boolean {
  return id.startsWith(ACTOR)
}

/** The id under which a checkpoint keeps a session. */
export function sessionId(session: SessionId): string {
  return `session\0${session}`
}

/** The actor of a row; undefined for a row of something else. */
export function actorOf(id: string, bytes: Uint8Array): ActorRow | undefined {
  if (!isActorId(id)) return undefined
  const end = id.indexOf("\0", ACTOR.length)
  if (end < 0) throw new Malformed("a row of an actor names no key")
  return { type: id.slice(ACTOR.length, end), key: id.slice(end + 1), bytes }
}

/** What the disk holds of this actor is not what a checkpoint says. */
export function damagedRow(id: string): Malformed {
  const [, type, ...parts] = id.split("\0")
  const key = parts.join("\0")
  return new Malformed(`the row of the actor ${type}(${JSON.stringify(key)}) is damaged`)
}

/** The session of a row that is no actor's. Throws Malformed. */
export function sessionOf(id: string): SessionId {
  const [kind, number] = id.split("\0")
  if (kind !== "session") throw new Malformed(`a checkpoint has no row ${JSON.stringify(id)}`)
  return SessionId(Number(number))
}
