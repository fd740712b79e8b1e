import { define } from "@lockstep/actor"
import { describe, expect, it } from "vitest"
import { checkAnswers } from "../src/order.ts"
import { replay } from "../src/replay.ts"
import { workloadNamed } from "../src/run.ts"
import { answered, recordOf } from "./pages.ts"

const definition = define(workloadNamed("counter").actorClass)
const invariants = new Map()
const get = { member: "get", key: "a", args: [] }
const page = (position: number, id: string, returned: unknown) => ({
  record: recordOf({ epoch: 1, position }, id, returned),
})

describe("the replay of a history with one master", () => {
  const first = answered("first", { seq: 1, at: [0, 1], returned: 1 })
  const second = answered("second", { seq: 2, at: [0, 1], returned: 2 })

  it("finds every command where it was answered, and every query right at its position", () => {
    const query = answered("query", { seq: 1, at: [0, 1], call: get, reads: "linearizable", returned: 1 })
    const records = [first, second, query]
    const { executions, wrong } = replay([page(1, "first", 1), page(2, "second", 2)], {
      records,
      definition,
      invariants,
    })
    expect(wrong).toEqual([])
    expect(checkAnswers(records, executions)).toEqual([])
  })

  it("finds a query that saw something else than what stood at its position", () => {
    const query = answered("query", { seq: 1, at: [0, 1], call: get, reads: "linearizable", returned: 2 })
    const records = [first, second, query]
    const { executions } = replay([page(1, "first", 1), page(2, "second", 2)], {
      records,
      definition,
      invariants,
    })
    expect(checkAnswers(records, executions)).toEqual([
      'query (get) was answered {"returned":2}; right at 1 is {"returned":1}',
    ])
  })

  it("finds a command that was executed on a state that is not that of the history", () => {
    const { wrong } = replay([page(1, "first", 5)], { records: [first], definition, invariants })
    expect(wrong).toEqual(["first (add) at 1 came to something else"])
  })

  it("finds a command that stands there twice, and one that is lost", () => {
    const records = [first, second]
    const { executions } = replay([page(1, "first", 1), page(2, "first", 2)], {
      records,
      definition,
      invariants,
    })
    expect(checkAnswers(records, executions)).toEqual([
      "first was executed at 1 and at 2",
      'second was answered {"returned":2} and never executed',
    ])
  })

  it("finds a command that nobody called", () => {
    const { wrong } = replay([page(1, "stranger", 1)], { records: [first], definition, invariants })
    expect(wrong).toEqual(["stranger at 1 was called by nobody"])
  })

  it("finds a command that was said not to take effect", () => {
    const refused = { ...first, output: undefined, tookEffect: "no" as const }
    const { executions } = replay([page(1, "first", 1)], { records: [refused], definition, invariants })
    expect(checkAnswers([refused], executions)).toEqual([
      "first was said not to take effect, and was executed at 1",
    ])
  })
})
