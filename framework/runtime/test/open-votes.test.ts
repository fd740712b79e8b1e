import { ReplicaId, type VoteSpans } from "@lockstep/core"
import type { Decision } from "@lockstep/replication"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { OPEN_VOTES_MAX, OpenVote, OpenVotes } from "../src/telemetry/open-votes.ts"
import { RecordedSpan } from "./recorder.ts"

const [r0, r1, r2] = [ReplicaId("r0"), ReplicaId("r1"), ReplicaId("r2")]
const id = (digit: number): string => `${digit}`.repeat(16)
const named = (spanId: string, index = 0): VoteSpans => new Map([[index, spanId]])

/** Two have voted, and the third has not. */
function decision(spans: ReadonlyMap<ReplicaId, VoteSpans>): Decision {
  return { firstVoteMs: 1, match: [r0, r1], dissent: [], missing: [r2], spans }
}

function open(votes: OpenVotes, of: { readonly seq: number; readonly decision?: Decision }): RecordedSpan {
  const span = new RecordedSpan()
  votes.add(new OpenVote({ index: 0, decision: decision(new Map()), ...of, span, endTime: 1000 + of.seq }))
  return span
}

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

describe("the span of a vote", () => {
  it("links to what each voter tells of this command; it has ended at the decision, whenever the last vote comes", () => {
    const votes = new OpenVotes()
    const spans = new Map([
      [r0, named(id(1))],
      [r1, named(id(2))],
    ])
    const span = open(votes, { seq: 7, decision: { ...decision(spans), match: [r0], dissent: [r1] } })
    expect(span.ends).toEqual([])
    votes.late({ replica: r2, seq: 8, isMatch: true, spans: named(id(9)) })
    votes.late({ replica: r2, seq: 7, isMatch: true, spans: named(id(3)) })
    votes.late({ replica: r2, seq: 7, isMatch: true, spans: named(id(3)) })
    expect(span.linked).toEqual([
      [id(1), { "lockstep.replica": "r0", "lockstep.vote": "match" }],
      [id(2), { "lockstep.replica": "r1", "lockstep.vote": "dissent" }],
      [id(3), { "lockstep.replica": "r2", "lockstep.vote": "late" }],
    ])
    expect(span.links.map(({ context }) => context.traceId)).toEqual(
      [1, 2, 3].map(() => span.spanContext().traceId),
    )
    expect(span.ends).toEqual([1007])
  })

  it("calls a vote that comes late, and differs, a dissent", () => {
    const votes = new OpenVotes()
    const span = open(votes, { seq: 7 })
    votes.late({ replica: r2, seq: 7, isMatch: false, spans: named(id(3)) })
    expect(span.linked).toEqual([[id(3), { "lockstep.replica": "r2", "lockstep.vote": "dissent" }]])
  })

  it("has ended at once where all have voted", () => {
    const span = open(new OpenVotes(), { seq: 7, decision: { ...decision(new Map()), missing: [] } })
    expect(span.ends).toEqual([1007])
  })

  it("waits a second for who is missing, and no longer", () => {
    const votes = new OpenVotes()
    const first = open(votes, { seq: 7 })
    vi.advanceTimersByTime(900)
    const second = open(votes, { seq: 8 })
    vi.advanceTimersByTime(200)
    expect([first.ends, second.ends]).toEqual([[1007], []])
    vi.advanceTimersByTime(1000)
    expect(second.ends).toEqual([1008])
    votes.late({ replica: r2, seq: 8, isMatch: true, spans: named(id(3)) })
    expect([second.links, second.ends]).toEqual([[], [1008]])
    expect(vi.getTimerCount()).toBe(0)
  })

  it("ends with the lane, and what is decided afterwards ends at once", () => {
    const votes = new OpenVotes()
    const span = open(votes, { seq: 7 })
    votes.close()
    expect(span.ends).toEqual([1007])
    expect(open(votes, { seq: 8 }).ends).toEqual([1008])
    expect(vi.getTimerCount()).toBe(0)
  })

  it("gives way where too many wait", () => {
    const votes = new OpenVotes()
    const spans = Array.from({ length: OPEN_VOTES_MAX + 2 }, (_, seq) => open(votes, { seq }))
    expect(spans.filter(({ ends }) => ends.length > 0)).toEqual(spans.slice(0, 2))
    votes.close()
  })

  it.each([
    "",
    "0".repeat(16),
    "1".repeat(15),
    "1".repeat(17),
    "A".repeat(16),
    "?".repeat(16),
    `${"1".repeat(16)}\n`,
  ])("links to nothing that is no id of a span: %j", (spanId) => {
    const votes = new OpenVotes()
    const span = open(votes, { seq: 7, decision: decision(new Map([[r0, named(spanId)]])) })
    votes.late({ replica: r2, seq: 7, isMatch: true, spans: named(spanId) })
    expect([span.links, span.ends]).toEqual([[], [1007]])
  })

  it("links to nothing where another command is named", () => {
    const span = open(new OpenVotes(), { seq: 7, decision: decision(new Map([[r0, named(id(1), 1)]])) })
    expect(span.links).toEqual([])
  })
})
