import { FifoMap, type ReplicaId, type VoteSpans } from "@lockstep/core"
import type { Decision, LateVote } from "@lockstep/replication"
import { type Span, TraceFlags } from "@opentelemetry/api"
import { ATTRIBUTES } from "./names.ts"
import type { Told } from "./notice.ts"

/** How long a vote's span waits for replicas that have said nothing yet, milliseconds. */
const WAIT_MS = 1000
/** Spans that wait, at most. Those at the position that has waited for longest are ended first. */
export const OPEN_VOTES_MAX = 4096

/** What a vote was to the decision: `late` is one for it that came afterwards. */
export type Verdict = "match" | "dissent" | "late"

/** The span of one call's vote: when it ended is known, and not yet all that it links to. */
export class OpenVote {
  readonly seq: number
  readonly #index: number
  readonly #span: Span
  readonly #endTime: number
  readonly #isAnswered: boolean
  readonly #missing: Set<ReplicaId>
  /** What was said by replicas that are not linked to. */
  readonly #verdicts = new Map<ReplicaId, Verdict>()
  /** Where replicas have told of the call that have not voted. */
  readonly #told = new Map<ReplicaId, VoteSpans>()
  #dissents: number
  #isEnded = false

  /**
   * `index`: the call's place in what was voted on. `endTime`: milliseconds since 1970. `linksTo`: what votes name, or what replicas say when they are
   * asked to tell of the call.
   */
  constructor(of: {
    readonly span: Span
    readonly seq: number
    readonly index: number
    readonly decision: Decision
    readonly endTime: number
    readonly linksTo?: "what is told afterwards"
  }) {
    const { match, dissent, missing, spans } = of.decision
    this.seq = of.seq
    this.#index = of.index
    this.#span = of.span
    this.#endTime = of.endTime
    this.#isAnswered = of.linksTo !== undefined
    this.#missing = new Set(missing)
    this.#dissents = dissent.length
    for (const replica of match) this.#said(replica, "match", spans.get(replica))
    for (const replica of dissent) this.#said(replica, "dissent", spans.get(replica))
  }

  /** There is nothing left to wait for. */
  get isComplete(): boolean {
    return this.#missing.size === 0 && (!this.#isAnswered || this.#verdicts.size === 0)
  }

  late({ replica, isMatch, spans }: LateVote): void {
    if (!this.#missing.delete(replica)) return
    if (!isMatch) this.#span.setAttribute(ATTRIBUTES.votesDissent, ++this.#dissents)
    this.#said(replica, isMatch ? "late" : "dissent", spans ?? this.#told.get(replica))
  }

  /** A replica was asked where it tells of it. */
  told(replica: ReplicaId, spans: VoteSpans): void {
    const verdict = this.#verdicts.get(replica)
    if (verdict !== undefined) this.#said(replica, verdict, spans)
    else if (this.#missing.has(replica)) this.#told.set(replica, spans)
  }

  end(): void {
    if (!this.#isEnded) this.#span.end(this.#endTime)
    this.#isEnded = true
  }

  #said(replica: ReplicaId, verdict: Verdict, spans: VoteSpans | undefined): void {
    const spanId = spans?.get(this.#index)
    if (spanId === undefined || !SPAN_ID.test(spanId)) return void this.#verdicts.set(replica, verdict)
    this.#verdicts.delete(replica)
    // below what was sent, and so in this trace
    const { traceId } = this.#span.spanContext()
    this.#span.addLink({
      context: { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true },
      attributes: { [ATTRIBUTES.replica]: replica, [ATTRIBUTES.vote]: verdict },
    })
  }
}

/** Spans of votes that replicas have still to say something to: each for a short while, and not too many. */
export class OpenVotes {
  /** Those at one position are of one batch, and wait for the same replicas. */
  readonly #at = new FifoMap<Waiting>()
  #size = 0
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  /** Ends it, now or later. */
  add(vote: OpenVote): void {
    if (vote.isComplete || this.#isClosed) return vote.end()
    const waiting = this.#at.get(vote.seq)
    if (waiting === undefined) this.#at.set(vote.seq, { untilMs: performance.now() + WAIT_MS, votes: [vote] })
    else waiting.votes.push(vote)
    this.#size++
    if (this.#size > OPEN_VOTES_MAX) this.#endOldest()
    // whoever wants to see it keeps the process alive until then
    this.#timer ??= setTimeout(() => this.#tick(), WAIT_MS).unref()
  }

  late(late: LateVote): void {
    this.#hear(late.seq, (vote) => vote.late(late))
  }

  told(replica: ReplicaId, { seq, spans }: Told): void {
    this.#hear(seq, (vote) => vote.told(replica, spans))
  }

  /** Nothing is heard any more. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    while (this.#size > 0) this.#endOldest()
  }

  #hear(seq: number, tell: (vote: OpenVote) => void): void {
    const waiting = this.#at.get(seq)
    if (waiting === undefined) return
    for (const vote of waiting.votes) {
      tell(vote)
      if (vote.isComplete) vote.end()
    }
    const before = waiting.votes.length
    waiting.votes = waiting.votes.filter((vote) => !vote.isComplete)
    this.#size += waiting.votes.length - before
    if (waiting.votes.length === 0) this.#at.delete(seq)
  }

  #tick(): void {
    const nowMs = performance.now()
    for (const { untilMs } of this.#at.values()) {
      if (untilMs > nowMs) break
      this.#endOldest()
    }
    this.#timer = this.#size === 0 ? undefined : setTimeout(() => this.#tick(), WAIT_MS).unref()
  }

  /** Those that have waited for longest, whatever is missing of them. */
  #endOldest(): void {
    const votes = this.#at.shift()?.votes ?? []
    for (const vote of votes) vote.end()
    this.#size -= votes.length
  }
}

interface Waiting {
  readonly untilMs: number
  votes: Array<OpenVote>
}

/** As W3C Trace Context has it; one of zeros only names nothing. */
const SPAN_ID = /^(?!0{16})[0-9a-f]{16}$/
