import { describe, expect, it } from "vitest"
import { checkFreshness } from "../src/freshness.ts"
import { answered } from "./pages.ts"

const clocks = { rateError: 0 }
const reads = { maxStalenessMs: 500 }

describe("a query that may be 500 ms old", () => {
  const write = answered("write", { seq: 9, at: [0, 1000] })

  it("may miss what was answered 400 ms before it was called", () => {
    const query = answered("query", { seq: 8, at: [1400, 1500], reads, client: "c1-0" })
    expect(checkFreshness([write, query], clocks)).toEqual([])
  })

  it("may not miss what was answered 600 ms before", () => {
    const query = answered("query", { seq: 8, at: [1600, 1700], reads, client: "c1-0" })
    expect(checkFreshness([write, query], clocks)).toHaveLength(1)
    expect(checkFreshness([write, { ...query, seq: 9 }], clocks)).toEqual([])
  })

  it("may miss a little more where clocks may be wrong", () => {
    const query = answered("query", { seq: 8, at: [1600, 1700], reads, client: "c1-0" })
    expect(checkFreshness([write, query], { rateError: 0.2 })).toEqual([])
  })

  it("misses nothing that its own client was told, however short ago", () => {
    const query = answered("query", { seq: 8, at: [1001, 1002], reads })
    expect(checkFreshness([write, query], clocks)).toHaveLength(1)
  })

  it("says nothing of queries that see everything: other checkers do", () => {
    const query = answered("query", { seq: 8, at: [5000, 5001], reads: "linearizable" })
    expect(checkFreshness([write, query], clocks)).toEqual([])
  })
})
