import { describe, expect, it } from "vitest"
import { Gathering } from "./bench/peers/gathering.ts"

describe("gathering calls into groups", () => {
  it("takes the calls that come while a group is under way together, and answers each with its own", async () => {
    const groups: Array<ReadonlyArray<number>> = []
    const doors: Array<() => void> = []
    const gathering = new Gathering(3, async (calls: ReadonlyArray<number>) => {
      groups.push(calls)
      await new Promise<void>((resolve) => doors.push(resolve))
      return calls.map((call) => 10 * call)
    })
    const first = [1, 2].map((call) => gathering.call(call))
    await Promise.resolve()
    const second = [3, 4, 5, 6].map((call) => gathering.call(call))
    doors.shift()?.()
    expect(await Promise.all(first)).toEqual([10, 20])
    doors.shift()?.()
    expect(await Promise.all(second.slice(0, 3))).toEqual([30, 40, 50])
    doors.shift()?.()
    expect(await Promise.all(second)).toEqual([30, 40, 50, 60])
    expect(groups).toEqual([[1, 2], [3, 4, 5], [6]])
  })

  it("fails all calls of a group that fails, and goes on with the next", async () => {
    let groups = 0
    const gathering = new Gathering(2, async (calls: ReadonlyArray<number>) => {
      if (groups++ === 0) throw new Error("no replica")
      return calls
    })
    const outcomes = await Promise.allSettled([1, 2, 3].map((call) => gathering.call(call)))
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled"])
    expect(await gathering.call(4)).toBe(4)
  })
})
