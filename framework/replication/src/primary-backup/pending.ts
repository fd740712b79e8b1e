import type { decodeVote } from "@lockstep/core"
import type { Reads } from "../mode.ts"
import { Parts } from "../parts.ts"
import type { Reply } from "./request.ts"

/** A batch, or the opening of a session, that is not answered. */
export interface Pending<Call> {
  readonly kind: "command" | "query" | "opening"
  readonly number: number
  readonly session: number
  readonly envelope: Buffer
  readonly reads: Reads
  readonly bytes: number
  calls: Array<Call | undefined>
  deadlineMs: number
  againAtMs: number
  sends: number
  /** The epoch whose primary may have executed it; undefined: nobody can have. */
  sentIn: number | undefined
  /** The caller has asked for it again: an earlier attempt may have executed it, whatever becomes of this one. */
  isRetried: boolean
  /** Tokens of copies that were sent to be executed, and that somebody may have received. */
  readonly copies: Set<number>
  /** What is here of an answer that comes in several messages. */
  parts: { readonly reply: string; readonly parts: Parts } | undefined
}

type Sent = "againAtMs" | "sends" | "sentIn" | "isRetried" | "copies" | "parts"

/** What was not sent yet. */
export function pendingOf<Call>(batch: Omit<Pending<Call>, Sent>): Pending<Call> {
  const sent = { againAtMs: 0, sends: 0, sentIn: undefined, isRetried: false, parts: undefined }
  return { ...batch, ...sent, copies: new Set() }
}

/** Whether a primary may have executed it. */
export function mayBeExecuted({ kind, isRetried, sentIn }: Pending<unknown>): boolean {
  return kind === "command" && (isRetried || sentIn !== undefined)
}

/** It is to be executed, by whoever is the primary now, if that has not recorded it. */
export function renew(pending: Pending<unknown>): void {
  pending.isRetried = true
  pending.sentIn = undefined
  pending.copies.clear()
  pending.sends = 0
}

/** A copy of it reached nobody who would execute it. Yields whether none did. */
export function takeBack(pending: Pending<unknown>, copy: number | undefined): boolean {
  if (copy === undefined || !pending.copies.delete(copy) || pending.copies.size > 0) return false
  pending.sentIn = undefined
  return true
}

/** A replica says that it has not executed it, and never will. Yields whether it can be sent anew at once, because somebody else is the primary. */
export function spared(pending: Pending<unknown>, reply: Reply & { readonly _tag: "Elsewhere" }): boolean {
  const { sentIn, copies } = pending
  const isLater = sentIn !== undefined && sentIn < reply.epoch
  const isMeant = reply.copy !== undefined && copies.has(reply.copy)
  if (!reply.untouched || !isLater || !isMeant) return takeBack(pending, reply.copy) && isLater
  copies.clear()
  pending.sentIn = undefined
  return true
}

/** The outcomes, once all their parts are here. */
export function wholeOf(pending: Pending<unknown>, vote: ReturnType<typeof decodeVote>): Buffer | undefined {
  if (vote.parts <= 1) return Buffer.from(vote.bytes)
  if (pending.parts?.reply !== vote.statement)
    pending.parts = { reply: vote.statement, parts: new Parts(vote.parts) }
  pending.parts.parts.add(vote.part, Buffer.from(vote.bytes))
  return pending.parts.parts.whole()
}

/** Whether an answer of this epoch is that of an attempt which another one has taken the place of: the group may have lost what it says. */
export function isOutdated({ sentIn }: Pending<unknown>, epoch: number): boolean {
  return sentIn !== undefined && epoch < sentIn
}
