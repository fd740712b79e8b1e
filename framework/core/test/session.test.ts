import {
  type Answer,
  ClientId,
  digest,
  InvariantViolated,
  SessionId,
  type SessionLimits,
  SessionTable,
} from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { History } from "./history.ts"

const limits: fc.Arbitrary<SessionLimits> = fc.record({
  sessionsMax: fc.integer({ min: 1, max: 3 }),
  answerBytesMax: fc.nat(30),
  answersMax: fc.integer({ min: 1, max: 4 }),
  answerBytesTotalMax: fc.constant(1_000_000),
})

/** Anything that a log may bring: of honest clients, of broken ones, late, repeated, in any order. */
const step = fc.oneof(
  { weight: 1, arbitrary: fc.record({ do: fc.constant("open" as const), client: fc.nat(2) }) },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant("batch" as const),
      session: fc.nat(4),
      stranger: fc.nat(9).map((n) => n === 0),
      number: fc.nat(20),
      count: fc.integer({ min: 1, max: 3 }),
      unsettled: fc.oneof(fc.constant(Infinity), fc.nat(20)),
      outcomeBytes: fc.nat(12),
    }),
  },
)

describe("a session table, whatever the log brings", () => {
  it("never has a number executed twice, and answers a repeated batch as it was answered first", () => {
    const seen = new Set<string>()
    const law = fc.property(limits, fc.array(step, { maxLength: 120, size: "max" }), (bounds, steps) => {
      const history = new History(bounds)
      const table = new SessionTable(bounds)
      for (const [i, next] of steps.entries()) {
        const seq = i + 1
        if (next.do === "open") {
          table.open(SessionId(seq), client(next.client))
          history.open(SessionId(seq), client(next.client))
        } else {
          const session = history.opened[next.session % Math.max(1, history.opened.length)]
          const batch = {
            session: session?.id ?? SessionId(999),
            client: next.stranger || session === undefined ? client(9) : session.client,
            number: next.number,
            settledBelow: Math.max(0, next.number - next.unsettled),
            commands: { length: next.count },
          }
          const admission = table.admit(batch)
          history.judge(batch, admission)
          seen.add(admission._tag)
          if (admission._tag === "Fresh") {
            const answer = answerTo(batch, seq, next.outcomeBytes)
            table.record(answer)
            history.record(answer)
          }
          history.settle(batch)
        }
        const wrong = history.violation((of, number) => table.find(of.client, of.id, number))
        expect([table.size, wrong]).toEqual([history.kept.length, undefined])
      }
    })
    fc.assert(law, { numRuns: 200 })
    expect([...seen].toSorted()).toEqual(["Answered", "Expired", "Fresh", "Overlapping", "Settled"])
  })
})

describe("an honest client's batches, doubled and in any order", () => {
  it("are each executed once, and each repetition hears the first answer unless the client has it", () => {
    const counts = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 30 })
    const deliveries = fc.array(fc.tuple(fc.nat(), fc.nat(3)), { maxLength: 150 })
    const law = fc.property(counts, deliveries, fc.boolean(), (sizes, order, settles) => {
      const table = open(SESSION, alice)
      const executed = new Map<number, Answer>()
      let settledBelow = 0
      const batches = sizes.map((count, i) => batchAt(sum(sizes.slice(0, i)), count))
      const everything = [...order.map(([at]) => at % batches.length), ...batches.keys()]
      for (const [i, at] of everything.entries()) {
        const batch = batches[at] ?? raise()
        // sealed when all before it was unanswered, or after the client has heard what was executed so far
        const floor = settles ? Math.min(batch.number, unansweredFrom(batches, executed)) : 0
        const answer = executed.get(batch.number)
        const heard = batch.number < settledBelow ? { _tag: "Settled" } : { _tag: "Answered", answer }
        const admission = table.admit({ ...batch, settledBelow: floor })
        expect(admission).toEqual(answer === undefined ? { _tag: "Fresh" } : heard)
        settledBelow = Math.max(settledBelow, floor)
        if (answer !== undefined) continue
        executed.set(batch.number, answerTo(batch, i + 10, 8))
        table.record(executed.get(batch.number) ?? raise())
      }
      expect(executed.size).toBe(batches.length)
    })
    fc.assert(law, { numRuns: 300 })
  })
})

describe("a session", () => {
  it("answers until the client says that it knows the answer", () => {
    const table = open(SESSION, alice)
    const first = run(table, batchAt(0, 2))
    expect(table.admit(batchAt(0, 2))).toEqual({ _tag: "Answered", answer: first })
    run(table, { ...batchAt(2, 1), settledBelow: 2 })
    expect(table.admit(batchAt(0, 2))._tag).toBe("Settled")
    expect(table.find(alice, SESSION, 0)).toBe(undefined)
  })

  it("keeps an answer that the client has settled only in part", () => {
    const table = open(SESSION, alice)
    const first = run(table, batchAt(0, 3))
    run(table, { ...batchAt(3, 1), settledBelow: 2 })
    expect(table.find(alice, SESSION, 0)).toBe(first)
    expect(table.admit(batchAt(2, 1))._tag).toBe("Overlapping")
  })

  it("admits a batch that comes late, after others with larger numbers", () => {
    const table = open(SESSION, alice)
    run(table, batchAt(10, 5))
    expect(table.admit(batchAt(5, 5))._tag).toBe("Fresh")
    expect(table.admit(batchAt(5, 6))._tag).toBe("Overlapping")
    expect(table.admit(batchAt(14, 9))._tag).toBe("Overlapping")
    expect(table.admit(batchAt(10, 4))._tag).toBe("Overlapping")
  })

  it("drops its oldest answer at the limit, and still knows that the batch was executed", () => {
    const table = open(SESSION, alice, { answersMax: 2 })
    for (const number of [4, 2, 0]) run(table, batchAt(number, 1))
    expect([4, 2, 0].map((number) => table.admit(batchAt(number, 1))._tag)).toEqual([
      "Expired",
      "Answered",
      "Answered",
    ])
    expect(table.admit(batchAt(3, 2))._tag).toBe("Overlapping")
    expect(table.admit(batchAt(3, 1))._tag).toBe("Fresh")
  })

  it("drops answers by their bytes, but never the one that was just given", () => {
    const table = open(SESSION, alice, { answerBytesMax: 10 })
    run(table, batchAt(0, 1), 6)
    run(table, batchAt(1, 1), 4)
    expect([0, 1].map((number) => table.find(alice, SESSION, number)?.number)).toEqual([0, 1])
    run(table, batchAt(2, 1), 1)
    expect([0, 1, 2].map((number) => table.find(alice, SESSION, number)?.number)).toEqual([undefined, 1, 2])
    run(table, batchAt(3, 1), 1000)
    expect([1, 2, 3].map((number) => table.find(alice, SESSION, number)?.number)).toEqual([
      undefined,
      undefined,
      3,
    ])
  })

  it("drops the answers of the session that was idle the longest, when all together are too many bytes", () => {
    const table = open(SESSION, alice, { answerBytesTotalMax: 10 })
    const [other, mine] = [SessionId(2), batchAt(0, 1)]
    table.open(other, bob)
    run(table, mine, 6)
    const theirs = { ...batchAt(0, 1), client: bob, session: other }
    expect(table.admit(theirs)._tag).toBe("Fresh")
    table.record(answerTo(theirs, 2, 6))
    expect(table.find(alice, SESSION, 0)).toBeUndefined()
    expect(table.find(bob, other, 0)?.seq).toBe(2)
    expect(table.admit(mine)._tag).toBe("Expired")
  })

  it("admits nothing below what it has forgotten, as that may have been executed", () => {
    const table = open(SESSION, alice, { answersMax: 1 })
    for (const number of [8, 10, 12]) run(table, batchAt(number, 1))
    expect([0, 7, 8].map((number) => table.admit(batchAt(number, 1))._tag)).toEqual([
      "Expired",
      "Expired",
      "Expired",
    ])
    expect([9, 11, 13].map((number) => table.admit(batchAt(number, 1))._tag)).toEqual([
      "Fresh",
      "Fresh",
      "Fresh",
    ])
  })

  it("belongs to one client: another one's batches and questions find nothing", () => {
    const table = open(SESSION, alice)
    run(table, batchAt(0, 1))
    expect(table.admit({ ...batchAt(0, 1), client: bob })._tag).toBe("Expired")
    expect(table.find(bob, SESSION, 0)).toBe(undefined)
    expect([alice, bob].map((one) => table.isOpen(one, SESSION))).toEqual([true, false])
  })
})

describe("sessions that are too many", () => {
  it("go in the order of their last batch; a question, or a stranger's batch, is no use of them", () => {
    const table = open(SESSION, alice, { sessionsMax: 2 })
    run(table, batchAt(0, 1))
    table.open(SessionId(2), bob)
    table.admit(batchAt(1, 1))
    table.open(SessionId(3), bob)
    expect([SESSION, 2, 3].map((id) => table.isOpen(id === SESSION ? alice : bob, SessionId(id)))).toEqual([
      true,
      false,
      true,
    ])
    expect(table.find(alice, SESSION, 0)?.number).toBe(0)
    table.admit({ ...batchAt(1, 1), client: bob })
    table.open(SessionId(4), bob)
    expect(table.isOpen(alice, SESSION)).toBe(false)
    expect(table.admit(batchAt(0, 1))._tag).toBe("Expired")
    expect(table.size).toBe(2)
  })
})

describe("a table that is used wrongly", () => {
  it("crashes: a position opens one session, and an answer is of a session that is there", () => {
    const table = open(SESSION, alice)
    expect(() => table.open(SESSION, bob)).toThrow(InvariantViolated)
    expect(() => table.record(answerTo({ ...batchAt(0, 1), session: SessionId(9) }, 1, 0))).toThrow(
      InvariantViolated,
    )
  })
})

const SESSION = SessionId(1)
const alice = ClientId("alice")
const bob = ClientId("bob")

function client(index: number): ClientId {
  return ClientId(`c${index}`)
}

function open(session: SessionId, of: ClientId, changes: Partial<SessionLimits> = {}): SessionTable {
  const table = new SessionTable({
    sessionsMax: 10,
    answerBytesMax: 1000,
    answersMax: 100,
    answerBytesTotalMax: 1_000_000,
    ...changes,
  })
  table.open(session, of)
  return table
}

function batchAt(number: number, count: number) {
  return { client: alice, session: SESSION, number, settledBelow: 0, commands: { length: count } }
}

type TestBatch = ReturnType<typeof batchAt>

function answerTo(batch: TestBatch, seq: number, bytes: number): Answer {
  const { session, number, commands } = batch
  const outcomes = Buffer.alloc(bytes, seq)
  return { seq, chain: digest(String(seq)), session, number, count: commands.length, outcomes }
}

/** Executes a batch that must be fresh. */
function run(table: SessionTable, batch: TestBatch, bytes = 1): Answer {
  expect(table.admit(batch)).toEqual({ _tag: "Fresh" })
  const answer = answerTo(batch, batch.number + 100, bytes)
  table.record(answer)
  return answer
}

function unansweredFrom(batches: ReadonlyArray<TestBatch>, executed: ReadonlyMap<number, Answer>): number {
  return batches.find(({ number }) => !executed.has(number))?.number ?? Infinity
}

function sum(numbers: ReadonlyArray<number>): number {
  return numbers.reduce((total, number) => total + number, 0)
}

function raise(): never {
  throw new Error("there is a batch")
}
