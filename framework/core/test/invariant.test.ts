import { invariant, InvariantViolated } from "@lockstep/core"
import { describe, expect, it } from "vitest"

describe("an invariant", () => {
  it("says nothing while it holds, and crashes with its theorem when it does not", () => {
    expect(invariant(true, "one is one")).toBe(undefined)
    expect(() => invariant(false, "one is two")).toThrow(InvariantViolated)
    expect(() => invariant(false, "one is two")).toThrow(/^invariant violated: one is two$/)
  })
})
