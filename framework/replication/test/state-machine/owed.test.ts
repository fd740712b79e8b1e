import { ReplicaId } from "@lockstep/core"
import { describe, expect, it } from "vitest"
import { LATE_MS_MAX, Owed } from "../../src/state-machine/owed.ts"

const third = ReplicaId("r2")
const quorum = { needed: 2, replicas: [ReplicaId("r0"), ReplicaId("r1"), third] }

describe("the margin of votes", () => {
  it("is unknown before anything was decided", () => {
    expect(new Owed().margin(quorum, 0)).toBeUndefined()
  })

  it("counts a voter for as long as its vote may only be late, and again once it comes", () => {
    const owed = new Owed()
    owed.decided([third], 100)
    expect(owed.margin(quorum, 100 + LATE_MS_MAX)).toBe(1)
    owed.decided([third], 100 + LATE_MS_MAX)
    expect(owed.margin(quorum, 101 + LATE_MS_MAX)).toBe(0)
    owed.matched(third)
    expect(owed.margin(quorum, 101 + LATE_MS_MAX)).toBe(1)
  })

  it("does not count a voter that said something else, until it is right again", () => {
    const owed = new Owed()
    owed.decided([], 0)
    owed.differed(third)
    expect(owed.margin(quorum, 0)).toBe(0)
    owed.matched(third)
    expect(owed.margin(quorum, 0)).toBe(1)
  })

  it("forgets what it knew of others than those who vote now", () => {
    const owed = new Owed()
    owed.decided([], 0)
    owed.differed(third)
    owed.clear()
    expect(owed.margin(quorum, 0)).toBeUndefined()
    owed.decided([], 0)
    expect(owed.margin(quorum, 0)).toBe(1)
  })
})
