import type { MethodOutput, Operation } from "@lockstep/testing"
import { describe, expect, it } from "vitest"
import {
  everyClientIsServed,
  exactlyOnce,
  floor,
  linearizable,
  stoppedForAReason,
  truncated,
} from "./verdict.ts"
import type { Act } from "./workload.ts"

let clock = 0

/** An operation after all that were made before it. */
function done(key: string, input: Act, returned: unknown, client = "c"): Operation<Act, MethodOutput> {
  const call = clock++
  return { client, key, input, call, return: clock++, output: { returned } }
}

describe("the verdict", () => {
  it("finds a value that nobody wrote, and none that is missing, in histories of registers and lists", () => {
    const right = [done("list-0", ["append", 5], 1), done("register-0", ["write", 7], null)]
    const reads = [done("list-0", ["read"], [5]), done("register-0", ["read"], 7)]
    expect(linearizable([...right, ...reads]).broken).toEqual([])
    expect(linearizable([...right, done("register-0", ["read"], 8)]).broken).toHaveLength(1)
    expect(linearizable([...right, done("list-0", ["read"], [])]).broken).toHaveLength(1)
  })

  it("finds entries that are lost, doubled, refused or of nobody", () => {
    const last = (items: ReadonlyArray<number>) => done("list-0", ["read"], items, "last-reader")
    const appended = done("list-0", ["append", 5], 1)
    expect(exactlyOnce([appended, last([5])], []).broken).toEqual([])
    expect(exactlyOnce([appended, last([])], []).broken).toHaveLength(1)
    expect(exactlyOnce([appended, last([5, 5])], []).broken).toHaveLength(1)
    expect(exactlyOnce([appended, last([5, 6])], []).broken).toHaveLength(1)
    const refused = [{ key: "list-0", input: ["append", 6], error: "Overloaded" } as const]
    expect(exactlyOnce([appended, last([5, 6])], refused).broken).toEqual(["6 was refused, and is in list-0"])
  })

  it("does not accept a run in which hardly anybody was answered, or one client was not", () => {
    expect(floor({ during: 20, episodes: 2 }).broken).toEqual([])
    expect(floor({ during: 19, episodes: 2 }).broken).toHaveLength(1)
    const during = new Map([
      ["client-0", 100],
      ["client-1", 5],
    ])
    expect(everyClientIsServed(during, 2).broken).toEqual(["client-1 had only 5 of at least 6 answers"])
  })

  it("does not accept a log that was never truncated, or grew with the run", () => {
    const watch = { entries: 100, entriesMax: 2500, firstSeq: 900, truncations: 3 }
    expect(truncated({ logWatch: watch }).broken).toEqual([])
    expect(truncated({ logWatch: { ...watch, truncations: 0 } }).broken).toHaveLength(1)
    expect(truncated({ logWatch: { ...watch, entriesMax: 50_000 } }).broken).toHaveLength(1)
  })

  it("does not accept a correct replica that stopped without a damaged disk, or was outvoted", () => {
    const restarts = new Map([["log-gap", 2]])
    expect(stoppedForAReason({ events: { halted: 2 }, restarts }).broken).toEqual([])
    expect(stoppedForAReason({ events: { halted: 3 }, restarts }).broken).toHaveLength(1)
    expect(stoppedForAReason({ events: { diverged: 1 }, restarts: new Map() }).broken).toHaveLength(1)
  })
})
