import { describe, expect, it, vi } from "vitest"
import { Pace } from "../src/pace.ts"

/** So long a part takes, in a clock of its own. */
const PART_MS = 0.5

function parts(count: number) {
  let nowMs = 0
  vi.spyOn(performance, "now").mockImplementation(() => nowMs)
  let done = 0
  const part = (): boolean => {
    nowMs += PART_MS
    return ++done === count
  }
  return { part, done: () => done, rest: (ms: number) => void (nowMs += ms) }
}

describe("what takes long", () => {
  it("has one part of a turn where it was gone on with at once, and as long as others had before", () => {
    const work = parts(100)
    const pace = new Pace()
    pace.turn(work.part)
    expect(work.done()).toBe(1)
    work.rest(4)
    expect(pace.turn(work.part)).toBe(false)
    expect(work.done()).toBe(1 + 4 / PART_MS)
    vi.restoreAllMocks()
  })

  it("lets others have their turn after five milliseconds, however long they had", () => {
    const work = parts(100)
    const pace = new Pace()
    work.rest(10_000)
    pace.turn(work.part)
    expect(work.done()).toBe(5 / PART_MS)
    vi.restoreAllMocks()
  })

  it("ends with its last part", () => {
    const work = parts(3)
    const pace = new Pace()
    work.rest(10_000)
    expect(pace.turn(work.part)).toBe(true)
    expect(work.done()).toBe(3)
    vi.restoreAllMocks()
  })
})
