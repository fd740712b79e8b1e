import { ByteReader, ByteWriter } from "./bytes.ts"
import { ClientId, type Digest, SessionId } from "./ids.ts"
import { invariant } from "./invariant.ts"
import { readDigest } from "./vote.ts"

/** The answer to one batch, as it was first executed: a repeated batch gets this, and is not executed. */
export interface Answer {
  readonly seq: number
  readonly chain: Digest
  readonly session: SessionId
  /** Of the first command. */
  readonly number: number
  readonly count: number
  /** The bytes of all outcomes. */
  readonly outcomes: Buffer
}

/** What the session table says of a batch that arrives. */
export type Admission =
  /** Never executed: execute it, then `record` its answer. */
  | { readonly _tag: "Fresh" }
  | { readonly _tag: "Answered"; readonly answer: Answer }
  /** Executed, and the client said that it knows the answer. */
  | { readonly _tag: "Settled" }
  /** The session, or the answer, is no longer kept: it may have been executed. */
  | { readonly _tag: "Expired" }
  /** Shares numbers with another batch without being the same: a broken client. */
  | { readonly _tag: "Overlapping" }

export interface SessionLimits {
  /** Sessions per partition, at most. The one that was idle for the longest stretch of the log goes first. */
  readonly sessionsMax: number
  /** Bytes of outcomes that are kept for one session, at most. The oldest go first. */
  readonly answerBytesMax: number
  /** Answers that are kept for one session, at most. */
  readonly answersMax: number
  /** Bytes of outcomes that are kept for all sessions, at most. Those of the session that was idle the longest go first. */
  readonly answerBytesTotalMax: number
}

export const SESSION_LIMITS: SessionLimits = {
  sessionsMax: 10_000,
  answerBytesMax: 4 * 1024 * 1024,
  answersMax: 1024,
  answerBytesTotalMax: 256 * 1024 * 1024,
}

/**
 * Exactly once: who executed what, and what came of it. Part of the replicated state, so it is bounded by log position and
 * never by a clock. (Ongaro, Consensus: Bridging Theory and Practice, section 6.3.)
 */
export class SessionTable {
  readonly #limits: SessionLimits
  /** In order of last use. */
  readonly #sessions = new Map<SessionId, Session>()
  /** Sessions that are not as they were when changes were taken last; undefined: nobody takes them. */
  #changed: Set<SessionId> | undefined
  #answerBytes = 0

  constructor(limits: SessionLimits = SESSION_LIMITS) {
    this.#limits = limits
  }

  get size(): number {
    return this.#sessions.size
  }

  /** From now on changes are noted, for checkpoints. */
  noteChanges(): void {
    this.#changed ??= new Set()
  }

  /** What became of each session that changed since this was called last: its bytes, or undefined where it was evicted. */
  takeChanges(): ReadonlyMap<SessionId, Buffer | undefined> {
    const changes = new Map<SessionId, Buffer | undefined>()
    for (const id of this.#changed ?? []) changes.set(id, this.#sessions.get(id)?.encode())
    this.#changed?.clear()
    return changes
  }

  /** Puts back sessions of a checkpoint, in any order. Throws Malformed. */
  restore(sessions: ReadonlyMap<SessionId, Uint8Array>): void {
    const restored = [...sessions].map(([id, bytes]) => [id, Session.decode(bytes)] as const)
    restored.sort(([, a], [, b]) => a.usedAtSeq - b.usedAtSeq)
    for (const [id, session] of restored) {
      this.#sessions.set(id, session)
      this.#answerBytes += session.answerBytes
    }
  }

  /** Opens a session whose id is the seq of the entry that asked for it. */
  open(session: SessionId, client: ClientId): void {
    invariant(!this.#sessions.has(session), "a log position opens at most one session")
    this.#sessions.set(session, new Session(client, session))
    this.#changed?.add(session)
    if (this.#sessions.size <= this.#limits.sessionsMax) return
    for (const [id, idle] of this.#sessions) {
      this.#sessions.delete(id)
      this.#changed?.add(id)
      this.#answerBytes -= idle.answerBytes
      return
    }
  }

  /** Looks up a batch of entry `seq`, and notes that its session is in use. `settledBelow` lets answers go. */
  admit(
    batch: {
      readonly client: ClientId
      readonly session: SessionId
      readonly number: number
      readonly settledBelow: number
      readonly commands: { readonly length: number }
    },
    seq = 0,
  ): Admission {
    const session = this.#sessions.get(batch.session)
    if (session === undefined || session.client !== batch.client) return EXPIRED
    this.#sessions.delete(batch.session)
    this.#sessions.set(batch.session, session)
    this.#changed?.add(batch.session)
    session.usedAtSeq = seq
    const admission = session.admit(batch.number, batch.commands.length)
    const before = session.answerBytes
    session.settle(batch.settledBelow)
    this.#answerBytes += session.answerBytes - before
    return admission
  }

  /** What `admit` would say. Changes nothing. */
  look(batch: {
    readonly client: ClientId
    readonly session: SessionId
    readonly number: number
    readonly commands: { readonly length: number }
  }): Admission {
    const session = this.#sessions.get(batch.session)
    return session === undefined || session.client !== batch.client
      ? EXPIRED
      : session.admit(batch.number, batch.commands.length)
  }

  record(answer: Answer): void {
    const session = this.#sessions.get(answer.session)
    invariant(session !== undefined, "an answer is recorded in the session that admitted it")
    const before = session.answerBytes
    session.record(answer, this.#limits)
    this.#answerBytes += session.answerBytes - before
    if (this.#answerBytes > this.#limits.answerBytesTotalMax) this.#makeRoom()
  }

  /** The answers of idle sessions go first. */
  #makeRoom(): void {
    for (const [id, session] of this.#sessions) {
      if (session.answers.size > 0) this.#changed?.add(id)
      while (session.answers.size > 0 && this.#answerBytes > this.#limits.answerBytesTotalMax) {
        const before = session.answerBytes
        session.drop(this.#limits)
        this.#answerBytes += session.answerBytes - before
      }
      if (this.#answerBytes <= this.#limits.answerBytesTotalMax) return
    }
  }

  /** The kept answer, if there is one. Changes nothing: asking is not a part of the replicated history. */
  find(client: ClientId, session: SessionId, number: number): Answer | undefined {
    const found = this.#sessions.get(session)
    return found !== undefined && found.client === client ? found.answers.get(number) : undefined
  }

  /** Whether this position opened a session of this client that is still kept. */
  isOpen(client: ClientId, session: SessionId): boolean {
    return this.#sessions.get(session)?.client === client
  }
}

class Session {
  readonly client: ClientId
  /** By the number of the batch's first command, in order of execution. */
  readonly answers = new Map<number, Answer>()
  /** Executed ranges at or above the floor whose answers were dropped for want of room: first number → count. */
  readonly #dropped = new Map<number, number>()
  /** Every number below it is settled: the client said so. */
  #floor = 0
  /** Every number below it may have been executed: nobody knows any more. */
  #expiredBelow = 0
  /** One more than the largest executed number. */
  #next = 0
  answerBytes = 0
  /** The entry that used it last. */
  usedAtSeq: number

  constructor(client: ClientId, usedAtSeq: number) {
    this.client = client
    this.usedAtSeq = usedAtSeq
  }

  /** Throws Malformed. */
  static decode(bytes: Uint8Array): Session {
    const reader = new ByteReader(bytes)
    const session = new Session(reader.name(ClientId), reader.varint())
    session.#floor = reader.varint()
    session.#expiredBelow = reader.varint()
    session.#next = reader.varint()
    for (let left = reader.count(); left > 0; left--) session.#dropped.set(reader.varint(), reader.varint())
    for (let left = reader.count(); left > 0; left--) {
      const answer: Answer = {
        seq: reader.varint(),
        chain: readDigest(reader),
        session: SessionId(reader.varint()),
        number: reader.varint(),
        count: reader.varint(),
        outcomes: Buffer.from(reader.bytes()),
      }
      session.answers.set(answer.number, answer)
      session.answerBytes += answer.outcomes.length
    }
    reader.end()
    return session
  }

  encode(): Buffer {
    writer.reset()
    writer.string(this.client)
    writer.varint(this.usedAtSeq)
    writer.varint(this.#floor)
    writer.varint(this.#expiredBelow)
    writer.varint(this.#next)
    writer.varint(this.#dropped.size)
    for (const [number, count] of this.#dropped) {
      writer.varint(number)
      writer.varint(count)
    }
    writer.varint(this.answers.size)
    for (const answer of this.answers.values()) {
      writer.varint(answer.seq)
      writer.ascii(answer.chain)
      writer.varint(answer.session)
      writer.varint(answer.number)
      writer.varint(answer.count)
      writer.bytes(answer.outcomes)
    }
    return writer.take()
  }

  admit(number: number, count: number): Admission {
    if (number < this.#floor) return SETTLED
    if (number >= this.#next) return FRESH
    const answer = this.answers.get(number)
    if (answer !== undefined) return answer.count === count ? { _tag: "Answered", answer } : OVERLAPPING
    if (number < this.#expiredBelow) return EXPIRED
    if (this.#dropped.get(number) === count) return EXPIRED
    return this.#overlaps(number, count) ? OVERLAPPING : FRESH
  }

  record(answer: Answer, limits: SessionLimits): void {
    this.answers.set(answer.number, answer)
    this.answerBytes += answer.outcomes.length
    this.#next = Math.max(this.#next, answer.number + answer.count)
    while (
      this.answers.size > limits.answersMax ||
      (this.answerBytes > limits.answerBytesMax && this.answers.size > 1)
    )
      this.drop(limits)
  }

  settle(floor: number): void {
    if (floor <= this.#floor) return
    this.#floor = floor
    for (const [number, answer] of this.answers) {
      if (number + answer.count > floor) continue
      this.answers.delete(number)
      this.answerBytes -= answer.outcomes.length
    }
    for (const [number, count] of this.#dropped) if (number + count <= floor) this.#dropped.delete(number)
  }

  /** The oldest answer goes. That it was executed is remembered: by its number, and where those are too many, by a bound. */
  drop(limits: SessionLimits): void {
    for (const [number, answer] of this.answers) {
      this.answers.delete(number)
      this.answerBytes -= answer.outcomes.length
      this.#dropped.set(number, answer.count)
      break
    }
    if (this.#dropped.size <= limits.answersMax) return
    for (const [number, count] of this.#dropped) {
      this.#dropped.delete(number)
      this.#expiredBelow = Math.max(this.#expiredBelow, number + count)
      break
    }
  }

  #overlaps(number: number, count: number): boolean {
    for (const answer of this.answers.values())
      if (number < answer.number + answer.count && answer.number < number + count) return true
    for (const [other, length] of this.#dropped)
      if (number < other + length && other < number + count) return true
    return false
  }
}

const writer = new ByteWriter(4096)
const FRESH: Admission = { _tag: "Fresh" }
const SETTLED: Admission = { _tag: "Settled" }
const EXPIRED: Admission = { _tag: "Expired" }
const OVERLAPPING: Admission = { _tag: "Overlapping" }
