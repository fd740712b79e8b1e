import { type Call, Command, define, Replicated } from "@lockstep/actor"
import {
  ClientId,
  digest,
  Diverged,
  GroupName,
  NoQuorum,
  type Outcome,
  Overloaded,
  Partition,
  ReplicaId,
  sliceOf,
} from "@lockstep/core"
import { type Decision, stateMachine } from "@lockstep/replication"
import { context, type Context, trace, TraceFlags } from "@opentelemetry/api"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { Calls } from "../src/telemetry/calls.ts"
import { decodeNotice, encodeTold } from "../src/telemetry/notice.ts"
import { KEPT_OF_BATCH_MAX, KEPT_PER_SECOND, UNSAMPLED_MAX } from "../src/telemetry/unsampled.ts"
import { type Turn, Waiting } from "../src/waiting.ts"
import { Recorder } from "./recorder.ts"

const mode = stateMachine({ faults: 2, faultModel: "byzantine" })
const [r0, r1, r2, r3, r4] = ["r0", "r1", "r2", "r3", "r4"].map((name) => ReplicaId(name)) as [
  ReplicaId,
  ReplicaId,
  ReplicaId,
  ReplicaId,
  ReplicaId,
] // as many as there are names
const RETURNED: Outcome = { _tag: "Returned", value: 1 }
const id = (digit: number): string => `${digit}`.repeat(16)

@Replicated({ name: "test/Box", version: 1, mode })
class Box {
  @Command()
  put(): number {
    return 1
  }
}

const definition = define(Box)
const member = definition.members.get("put")
if (member === undefined) throw new Error("the class has lost its method")
const call: Call = { definition, member, key: "k", args: sliceOf(Buffer.of()) }

/** Three of five have voted alike. */
const decision: Decision = {
  firstVoteMs: 20,
  match: [r0, r1, r2],
  dissent: [],
  missing: [r3, r4],
  spans: new Map(),
}

function lane() {
  const notices: Array<NonNullable<ReturnType<typeof decodeNotice>>> = []
  const calls = new Calls({
    mode,
    group: GroupName("main"),
    partition: Partition(0),
    client: ClientId("c0"),
    replicas: 5,
    baggage: [],
    notify: (bytes) => {
      const notice = decodeNotice(bytes)
      if (notice === undefined) throw new Error("a notice that nobody understands")
      notices.push(notice)
    },
  })
  const begun = (count: number, startMs = 10): ReadonlyArray<Waiting> => {
    const caller = { resolve: () => undefined, reject: () => undefined }
    const turn: Turn = { startMs, overlooked: undefined }
    const made = Array.from(
      { length: count },
      (_, place) => new Waiting(call, caller, { parent: context.active(), turn, place }),
    )
    calls.begin(made, turn)
    return made
  }
  return {
    calls,
    notices,
    begin: (count = 1, startMs = 10): ReadonlyArray<Waiting> => begun(count, startMs),
    /** A batch of so many calls is made, sent and decided. */
    decide: (
      seq: number,
      of: { readonly count?: number; readonly decision?: Decision; readonly outcome?: Outcome } = {},
    ): void => {
      const { count = 1, outcome = RETURNED } = of
      const made = begun(count)
      calls.sent(made, 15)
      calls.sent(made, 99)
      const outcomes = made.map(() => outcome)
      calls.settled({ calls: made, outcomes, seq, decision: of.decision ?? decision }, 30)
    },
    dissents: (replica: ReplicaId, seq: number, differing: ReadonlyArray<number> = []): void => {
      calls.heard({
        _tag: "Dissent",
        replica,
        seq,
        expected: digest("right"),
        actual: digest("wrong"),
        differing: () => differing,
      })
      calls.tell()
    },
  }
}

let recorder: Recorder
beforeEach(() => {
  vi.useFakeTimers()
  recorder = new Recorder()
})
afterEach(() => {
  recorder[Symbol.dispose]()
  vi.useRealTimers()
})

const named = (name: string) => recorder.named(name)
const originMs = (): number => Date.now() - performance.now()

describe("a call that was not sampled", () => {
  it("leaves nothing where nobody dissents, and nothing travels with it", () => {
    const { begin, calls, decide, notices } = lane()
    expect(begin().map((made) => made.trace)).toEqual([undefined])
    decide(7)
    calls.late({ replica: r3, seq: 7, isMatch: true, spans: undefined })
    calls.tell()
    expect([recorder.spans, notices]).toEqual([[], []])
  })

  it("is told of with its true times once somebody dissents, and the replicas are told where", () => {
    const { decide, dissents, notices } = lane()
    decide(7, { decision: { ...decision, match: [r0, r1, r3], dissent: [r2], missing: [r4] } })
    dissents(r2, 7)
    const [span] = named("test/Box/put")
    const [send] = named("send cmd.main.0")
    const [vote] = named("vote test/Box/put")
    expect(recorder.spans).toHaveLength(3)
    expect(span?.parent).toMatchObject({ traceFlags: TraceFlags.SAMPLED, isRemote: true })
    expect([send, vote].map((below) => below?.parent?.spanId)).toEqual(
      [1, 2].map(() => span?.spanContext().spanId),
    )
    expect(span?.attributes).toMatchObject({
      "lockstep.log.seq": 7,
      "lockstep.votes.match": 3,
      "lockstep.votes.dissent": 1,
    })
    const times = (startMs: number, endMs: number) =>
      [startMs, endMs].map((ms) => expect.closeTo(originMs() + ms, 0))
    expect(span?.times).toEqual(times(10, 30))
    expect(send?.times).toEqual(times(10, 15))
    vi.advanceTimersByTime(2000)
    expect(vote?.times).toEqual(times(20, 30))
    const { traceId, spanId } = send?.spanContext() ?? {}
    const noticed = { index: 0, type: "test/Box", member: "put", trace: `00-${traceId}-${spanId}-01` }
    expect(notices).toEqual([{ client: "c0", seq: 7, calls: [noticed] }])
  })

  it("belongs to the trace that it was made in", () => {
    const { begin, calls, dissents } = lane()
    const above = { traceId: "a".repeat(32), spanId: "b".repeat(16), traceFlags: TraceFlags.NONE }
    const active = vi.spyOn(context, "active")
    active.mockReturnValue(trace.setSpanContext(ROOT, above))
    const made = begin()
    active.mockRestore()
    calls.settled({ calls: made, outcomes: [RETURNED], seq: 7, decision }, 30)
    dissents(r3, 7)
    expect(named("test/Box/put").map(({ parent }) => parent)).toEqual([
      { ...above, traceFlags: TraceFlags.SAMPLED, isRemote: true },
    ])
  })

  it("is told of once, whoever else dissents, and the vote links to what each replica tells, whichever comes first", () => {
    const { calls, decide, dissents, notices } = lane()
    const told = (replica: ReplicaId, spanId: string): void =>
      calls.told(replica, encodeTold({ seq: 7, spans: new Map([[0, spanId]]) }))
    decide(7)
    calls.late({ replica: r3, seq: 7, isMatch: false, spans: undefined })
    dissents(r3, 7)
    told(r0, id(1))
    told(r4, id(5))
    told(r1, id(2))
    calls.late({ replica: r4, seq: 7, isMatch: false, spans: undefined })
    dissents(r4, 7)
    told(r3, id(4))
    told(r3, id(6))
    const [vote] = named("vote test/Box/put")
    expect(vote?.ends).toHaveLength(0)
    told(r2, id(3))
    expect(recorder.spans).toHaveLength(3)
    expect(notices).toHaveLength(1)
    expect(vote?.ends).toHaveLength(1)
    expect(vote?.attributes["lockstep.votes.dissent"]).toBe(2)
    expect(
      vote?.linked.map(([spanId, attributes = {}]) => [
        spanId,
        attributes["lockstep.replica"],
        attributes["lockstep.vote"],
      ]),
    ).toEqual([
      [id(1), "r0", "match"],
      [id(2), "r1", "match"],
      [id(5), "r4", "dissent"],
      [id(4), "r3", "dissent"],
      [id(3), "r2", "match"],
    ])
  })

  it("of a batch is told of where its outcome differed; a second liar may have lied about others", () => {
    const { decide, dissents, notices } = lane()
    decide(7, { count: 100 })
    dissents(r3, 7, [40, 90])
    dissents(r4, 7, [90, 91])
    expect(notices.map(({ calls }) => calls.map(({ index }) => index))).toEqual([[40, 90], [91]])
    expect(named("test/Box/put")).toHaveLength(3)
  })

  it("of a batch is one of the first where it is not known whose outcome differed", () => {
    const { decide, dissents, notices } = lane()
    decide(7, { count: 100 })
    dissents(r3, 7)
    dissents(r4, 7)
    expect(notices.map(({ calls }) => calls.map(({ index }) => index))).toEqual([
      Array.from({ length: KEPT_OF_BATCH_MAX }, (_, index) => index),
    ])
  })

  it.each([
    ["all of one turn and the first of the next", [0, 1, 2, 3, 4]],
    ["the last of one turn and all of the next", [1, 2, 3, 4, 5]],
    ["two turns, but for ones that were refused", [0, 2, 3, 5]],
    ["two turns, of which the second goes on where the first ends", [0, 1, 5]],
    ["two turns, and one that nobody waits for between them", [0, 1, 2, undefined, 3]],
  ])("is told of as what it was, where its batch holds %s", (_, places) => {
    const { begin, calls, dissents } = lane()
    const above = (place: number) => ({ traceId: id(1) + id(2), spanId: id(place), traceFlags: 0 })
    const active = vi.spyOn(context, "active")
    for (const place of [1, 2, 3, 4, 5, 6])
      active.mockReturnValueOnce(trace.setSpanContext(ROOT, above(place)))
    const made = [...begin(3, 10), ...begin(3, 110)]
    active.mockRestore()
    const batch = places.map((place) => (place === undefined ? undefined : made[place]))
    calls.settled({ calls: batch, outcomes: batch.map(() => RETURNED), seq: 7, decision }, 30)
    dissents(r3, 7)
    const told = named("test/Box/put").map(({ parent, times }) => [parent?.spanId, times[0]])
    const expected = places.filter((place) => place !== undefined)
    const since = (place: number): number => originMs() + (place < 3 ? 10 : 110)
    // the system's clock may be some milliseconds away
    expect(told).toEqual(expected.map((place) => [id(place + 1), expect.closeTo(since(place), -1)]))
  })

  it("is told of no oftener than so many are in a second", () => {
    const { decide, dissents } = lane()
    for (let seq = 1; seq <= 200; seq++) {
      decide(seq)
      dissents(r3, seq)
    }
    expect(named("test/Box/put")).toHaveLength(KEPT_PER_SECOND)
    vi.advanceTimersByTime(1000)
    decide(201)
    dissents(r3, 201)
    expect(named("test/Box/put")).toHaveLength(KEPT_PER_SECOND + 1)
  })

  it.each([
    [UNSAMPLED_MAX - 1, 1],
    [UNSAMPLED_MAX, 0],
  ])(
    "is forgotten once there were so many others: after %i of them it is told of %i times",
    (others, times) => {
      const { decide, dissents } = lane()
      decide(1)
      decide(2, { count: others })
      dissents(r3, 1)
      expect(named("test/Box/put")).toHaveLength(times)
    },
  )

  it("says what it came to, where that is an error", () => {
    const { decide, dissents } = lane()
    decide(7, { outcome: { _tag: "Threw", code: "Full", data: null } })
    dissents(r3, 7)
    expect(named("test/Box/put").map(({ attributes }) => attributes["error.type"])).toEqual(["Full"])
  })
})

describe("a call that was not sampled, and that too few equal votes came for", () => {
  const undecided = {
    needed: 3,
    missing: [],
    command: undefined,
    detail: "Nobody agrees.",
    testimonies: [{ replica: r0, seq: 7, digest: digest("wrong"), outcome: undefined }],
  }

  it("is told of with its true times, and the replicas are told where, once for all that ended together", () => {
    const { begin, calls, notices } = lane()
    const made = begin(20)
    calls.sent(made, 15)
    const error = new Diverged(undecided)
    const contexts = made.slice(3).map((each) => calls.failed({ call: each, error, calls: made }, 30))
    calls.tell()
    calls.tell()
    const told = named("test/Box/put")
    expect(told).toHaveLength(KEPT_OF_BATCH_MAX)
    expect(contexts.filter((each) => each !== undefined)).toHaveLength(KEPT_OF_BATCH_MAX)
    expect(contexts[0] && trace.getSpanContext(contexts[0])).toEqual(told[0]?.spanContext())
    expect(told[0]?.attributes).toMatchObject({ "error.type": "Diverged", "lockstep.log.seq": 7 })
    const times = (startMs: number, endMs: number) =>
      // the system's clock may be some milliseconds away
      [startMs, endMs].map((ms) => expect.closeTo(originMs() + ms, -1))
    expect(told[0]?.times).toEqual(times(10, 30))
    const [send] = named("send cmd.main.0")
    expect(send?.times).toEqual(times(10, 15))
    const { traceId, spanId } = send?.spanContext() ?? {}
    expect(notices.map(({ seq, calls: noticed }) => [seq, noticed.map(({ index }) => index)])).toEqual([
      [7, Array.from({ length: KEPT_OF_BATCH_MAX }, (_, i) => i + 3)],
    ])
    expect(notices[0]?.calls[0]?.trace).toBe(`00-${traceId}-${spanId}-01`)
  })

  it("is told of alone where it was never sent: no replica knows of it", () => {
    const { begin, calls, notices } = lane()
    const [made] = begin()
    const error = new NoQuorum({ ...undecided, testimonies: [], seq: undefined })
    if (made !== undefined) calls.failed({ call: made, error }, 30)
    calls.tell()
    expect(named("test/Box/put").map(({ attributes }) => attributes["error.type"])).toEqual(["NoQuorum"])
    expect(notices).toEqual([])
  })

  it("is told of no oftener than so many are in a second, and not at all for another error", () => {
    const { begin, calls } = lane()
    for (let seq = 1; seq <= 100; seq++) {
      const made = begin()
      const [waiting] = made
      if (waiting === undefined) continue
      calls.failed({ call: waiting, error: new Overloaded("much to do"), calls: made }, 30)
      calls.failed({ call: waiting, error: new NoQuorum({ ...undecided, seq }), calls: made }, 30)
      calls.tell()
    }
    expect(named("test/Box/put")).toHaveLength(KEPT_PER_SECOND)
  })
})

const ROOT: Context = context.active()
