import type { decodeVote } from "@lockstep/core"
import type { Reads } from "../mode.ts"
import { Parts } from "../parts.ts"

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
  /** Tokens of copies that were sent to be executed, and that somebody may have received. */
  readonly copies: Set<number>
  /** What is here of an answer that comes in several messages. */
  parts: { readonly reply: string; readonly parts: Parts } | undefined
}

/** What was not sent yet. */
export function pendingOf<Call>(
  batch: Omit<Pending<Call>, "againAtMs" | "sends" | "sentIn" | "copies" | "parts">,
): Pending<Call> {
  return { ...batch, againAtMs: 0, sends: 0, sentIn: undefined, copies: new Set(), parts: undefined }
}

/** The outcomes, once all their parts are here. */
export function wholeOf(pending: Pending<unknown>, vote: ReturnType<typeof decodeVote>): Buffer | undefined {
  if (vote.parts <= 1) return Buffer.from(vote.bytes)
  if (pending.parts?.reply !== vote.statement)
    pending.parts = { reply: vote.statement, parts: new Parts(vote.parts) }
  pending.parts.parts.add(vote.part, Buffer.from(vote.bytes))
  return pending.parts.parts.whole()
}
