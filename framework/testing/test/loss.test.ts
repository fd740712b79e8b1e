import { describe, expect, it } from "vitest"
import { checkLoss, lostCalls } from "../src/loss.ts"
import { answered, proclaimed, undecided } from "./pages.ts"

describe("acknowledged calls that are not in the history", () => {
  const told = answered("told", { seq: 4, at: [0, 1] })

  it("are those that were answered: a query has no place there, and whoever was not answered was promised nothing", () => {
    const query = answered("query", { seq: 4, at: [0, 1], reads: "linearizable" })
    const records = [told, query, undecided(answered("open", { seq: 5, at: [0, 1] }))]
    expect(lostCalls(records, new Map()).map(({ id }) => id)).toEqual(["told"])
    expect(lostCalls(records, new Map([["told", []]]))).toEqual([])
  })

  it("may be lost above the position of a new master, as far as its window goes", () => {
    const failover = proclaimed({ epoch: 2, position: 3, lossWindow: 2 })
    const lost = [4, 5].map((seq) => answered(`call ${seq}`, { seq, at: [0, 1] }))
    expect(checkLoss(lost, [failover])).toEqual([])
  })

  it("may not where no failover said so: not below, not above the window, and not without one", () => {
    const failover = proclaimed({ epoch: 2, position: 3, lossWindow: 2 })
    const lost = [3, 6].map((seq) => answered(`call ${seq}`, { seq, at: [0, 1] }))
    expect(checkLoss(lost, [failover])).toEqual([
      "call 3 was acknowledged at 3 and is lost, and no failover said so",
      "call 6 was acknowledged at 6 and is lost, and no failover said so",
    ])
    expect(checkLoss([told], [proclaimed({ epoch: 1, position: 0 })])).toHaveLength(1)
  })
})
