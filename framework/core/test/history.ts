import type { Admission, Answer, ClientId, SessionId, SessionLimits } from "@lockstep/core"
import { expect } from "vitest"

interface Past {
  readonly id: SessionId
  readonly client: ClientId
  /** Every batch that was ever executed, in order. */
  readonly executed: Array<Answer>
  floor: number
}

interface Range {
  readonly number: number
  readonly count: number
}

/**
 * All that ever happened, forgotten by nobody: the judge of what a session table, which must forget, may say. It knows no
 * more of the table than its documentation says.
 */
export class History {
  readonly #limits: SessionLimits
  readonly opened: Array<Past> = []
  /** The sessions that must still be there, the longest idle one first. */
  kept: Array<Past> = []

  constructor(limits: SessionLimits) {
    this.#limits = limits
  }

  open(id: SessionId, client: ClientId): void {
    const past: Past = { id, client, executed: [], floor: 0 }
    this.opened.push(past)
    this.kept = [...this.kept, past].slice(-this.#limits.sessionsMax)
  }

  record(answer: Answer): void {
    this.#find(answer.session)?.executed.push(answer)
  }

  settle(batch: {
    readonly client: ClientId
    readonly session: SessionId
    readonly settledBelow: number
  }): void {
    const past = this.#find(batch.session)
    if (past?.client === batch.client) past.floor = Math.max(past.floor, batch.settledBelow)
  }

  /** Fails unless this is a right thing to say of this batch. */
  judge(
    batch: {
      readonly client: ClientId
      readonly session: SessionId
      readonly number: number
      readonly commands: { readonly length: number }
    },
    admission: Admission,
  ): void {
    const past = this.#find(batch.session)
    if (past === undefined || past.client !== batch.client) return expect(admission._tag).toBe("Expired")
    this.kept = [...this.kept.filter((other) => other !== past), past]
    const range = { number: batch.number, count: batch.commands.length }
    if (range.number < past.floor) return expect(admission._tag).toBe("Settled")
    const repeated = past.executed.find(
      ({ number, count }) => number === range.number && count === range.count,
    )
    if (repeated !== undefined) return this.#judgeRepeated(past, repeated, admission)
    const overlapping = past.executed.some((other) => overlap(other, range))
    const allowed = [overlapping ? "Overlapping" : "Fresh"]
    if (this.#hasForgotten(past, range)) allowed.push("Expired")
    expect(allowed).toContain(admission._tag)
  }

  /** What is wrong with what is found, if anything: more than the limits allow, or something that was not answered. */
  violation(find: (of: Past, number: number) => Answer | undefined): string | undefined {
    const { answersMax, answerBytesMax } = this.#limits
    for (const past of this.opened) {
      const found: Array<Answer> = []
      for (const answer of past.executed) {
        const kept = find(past, answer.number)
        if (kept === answer) found.push(answer)
        else if (kept !== undefined) return `${answer.number} of session ${past.id} has another answer`
      }
      if (found.length > 0 && !this.kept.includes(past)) return `session ${past.id} should be gone`
      if (found.length > answersMax) return `session ${past.id} keeps ${found.length} answers`
      if (found.length > 1 && bytesOf(found) > answerBytesMax)
        return `session ${past.id} keeps ${bytesOf(found)} bytes`
    }
    return undefined
  }

  #judgeRepeated(past: Past, first: Answer, admission: Admission): void {
    if (admission._tag === "Answered") return expect(admission.answer).toBe(first)
    expect(admission._tag).toBe("Expired")
    // The newest answers fit: only an older one may have had to go.
    const since = past.executed.slice(past.executed.indexOf(first))
    const mustGo = since.length > this.#limits.answersMax || bytesOf(since) > this.#limits.answerBytesMax
    expect(since.length > 1 && mustGo).toBe(true)
  }

  /** Only after more batches than answers are kept, and only below one that was executed, may it not know any more. */
  #hasForgotten(past: Past, range: Range): boolean {
    const { executed } = past
    return (
      executed.length > this.#limits.answersMax &&
      executed.some((other) => range.number < other.number + other.count)
    )
  }

  #find(id: SessionId): Past | undefined {
    return this.kept.find((past) => past.id === id)
  }
}

function overlap(a: Range, b: Range): boolean {
  return a.number < b.number + b.count && b.number < a.number + a.count
}

function bytesOf(answers: ReadonlyArray<Answer>): number {
  return answers.reduce((total, { outcomes }) => total + outcomes.length, 0)
}
