import { defineAll } from "@lockstep/actor"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { byzantine, Counter, LyingCounter, ThrowingCounter } from "../counter.ts"
import { type TestCall, value, World } from "../world.ts"

/**
 * What may happen in any order: the network loses, doubles and reorders, the log confirms or not, one replica is faulty in
 * some way. Then the faults stop, and everybody must be answered, rightly and once.
 */
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("call" as const), key: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("flush" as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("append" as const), silent: fc.boolean(), at: fc.nat(3) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("read" as const), replica: fc.nat(2), max: fc.nat(3) }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("vote" as const), at: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("ask" as const), at: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("lose" as const), what: fc.nat(2), at: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("double" as const), what: fc.nat(2), at: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("tick" as const), ms: fc.nat(1500) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
)

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never

const builds = { correct: Counter, lying: LyingCounter, throwing: ThrowingCounter }

describe("the state machine mode, under any schedule with one faulty replica", () => {
  it("answers every call rightly and executes it exactly once", () => {
    const fault = fc.record({ replica: fc.nat(2), build: fc.constantFrom("correct", "lying", "throwing") })
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 150 }), fault, (steps, faulty) => {
        const w = new World(byzantine, [Counter], { deadlineMs: 1e9, windowMax: 4 })
        const name = w.names[faulty.replica] ?? w.names[0]
        if (name === undefined) return
        const definitions = defineAll([builds[faulty.build]])
        w.restart(name, definitions)
        const calls: Array<TestCall> = []
        for (const next of steps) act(w, next, calls, () => w.restart(name, definitions))
        settle(w)
        check(w, calls)
      }),
      { numRuns: 5000 },
    )
  })
})

function act(w: World, next: Step, calls: Array<TestCall>, restart: () => void): void {
  switch (next.do) {
    case "call":
      calls.push(w.call("add", `k${next.key}`, 1))
      break
    case "flush":
      w.flush()
      break
    case "append":
      w.append(next.silent ? "silent" : "acknowledged", next.at % Math.max(1, w.toLog.length))
      break
    case "read":
      w.read(w.names[next.replica] ?? w.names[0] ?? raise(), next.max)
      break
    case "vote":
      w.vote(next.at % Math.max(1, w.toClient.length))
      break
    case "ask":
      w.ask(next.at % Math.max(1, w.toReplica.length))
      break
    case "lose":
      ;[w.toLog, w.toClient, w.toReplica][next.what]?.splice(next.at, 1)
      break
    case "double": {
      const under: Array<unknown> = [w.toLog, w.toClient, w.toReplica][next.what] ?? []
      if (next.at < under.length) under.push(under[next.at])
      break
    }
    case "tick":
      w.tick(next.ms)
      break
    case "restart":
      restart()
      break
  }
}

/** The faults stop: whatever is said from now on arrives. */
function settle(w: World): void {
  for (let round = 0; round < 50 && w.client.busy; round++) {
    w.run()
    w.tick(1001)
  }
  w.run()
}

/** Every key's answers are 1, 2, 3, … each once, in the order of the log, and correct replicas are equal. */
function check(w: World, calls: ReadonlyArray<TestCall>): void {
  expect(calls.map((call) => call.settled)).toEqual(calls.map(() => 1))
  for (const [key, ofKey] of Map.groupBy(calls, (call) => call.key)) {
    const answers = ofKey.map(value).toSorted((a, b) => Number(a) - Number(b))
    expect(answers, `answers of ${key}`).toEqual(ofKey.map((_, i) => i + 1))
    const bySeq = ofKey.toSorted((a, b) => Number(value(a)) - Number(value(b))).map((call) => call.seq ?? 0)
    expect(bySeq).toEqual(bySeq.toSorted((a, b) => a - b))
  }
  expect(w.halts).toEqual([])
  expect(new Set(w.names.map((name) => w.replica(name).status.stateDigest())).size).toBe(1)
}

function raise(): never {
  throw new Error("a world has replicas")
}
