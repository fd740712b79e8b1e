import { describe, expect, it } from "vitest"
import type { Execution } from "./annals.ts"
import { judgeLosses } from "./losses.ts"

/** Entries 1, 2, 3, … of each epoch are 101, 102, 103, … for the first, 201, … for the second. */
function executions(counts: ReadonlyArray<number>): Map<number, ReadonlyArray<Execution>> {
  return new Map(
    counts.flatMap((count, i) =>
      Array.from({ length: count }, (_, j) => [100 * (i + 1) + j + 1, [{ epoch: i + 1, serial: j + 1 }]]),
    ),
  )
}

/** Three entries in each of three reigns, of which these are lost; each failover reported what could be lost. */
function judge(
  lost: ReadonlyArray<number>,
  windows: ReadonlyArray<number>,
  again: ReadonlyArray<number> = [],
) {
  const all = executions([3, 3, 3])
  for (const item of again) all.set(item, [...(all.get(item) ?? []), { epoch: 3, serial: 9 }])
  const reigns = windows.map((lossWindow, i) => ({
    epoch: i + 1,
    master: "r",
    position: 0,
    lossWindow,
  }))
  const surviving = new Set([...all.keys()].filter((item) => !lost.includes(item)))
  const { checks, windows: reported } = judgeLosses([...all.keys()], surviving, { executions: all, reigns })
  return { broken: checks.map((check) => check.broken.length), reported }
}

describe("losses of an asynchronous group", () => {
  it("are allowed at the end of a reign, as many as the next one reported", () => {
    expect(judge([103], [0, 1, 0])).toEqual({
      broken: [0, 0],
      reported: [{ epoch: 2, window: 1, lost: 1 }],
    })
    expect(judge([102, 103], [0, 1, 0]).broken).toEqual([1, 0])
  })

  it("are not allowed in the middle of what survives", () => {
    expect(judge([102], [0, 5, 0]).broken).toEqual([0, 1])
  })

  it("are not allowed without a failover", () => {
    expect(judge([303], [5, 5, 5]).broken).toEqual([1, 0])
  })

  it("may be those of a failover that was itself lost, but not of one after a write that stands", () => {
    expect(judge([103, 201, 202, 203], [0, 0, 4]).broken).toEqual([0, 0])
    expect(judge([103, 202, 203], [0, 0, 4]).broken).toEqual([1, 0])
  })

  it("say nothing of the order where an entry was executed again", () => {
    expect(judge([102], [0, 1, 0], [102]).broken).toEqual([0, 0])
  })

  it("are never of what nobody executed", () => {
    const { checks } = judgeLosses([1], new Set([1]), { executions: new Map(), reigns: [] })
    expect(checks[0]?.broken).toHaveLength(1)
  })
})
