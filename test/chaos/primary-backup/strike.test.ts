import { Random } from "@lockstep/testing"
import { describe, expect, it } from "vitest"
import { describe as inWords, drawStrike, isViolent, kindOf } from "./strike.ts"

function drawn(seed: number, count: number) {
  const random = new Random(seed)
  return Array.from({ length: count }, () => drawStrike(random))
}

describe("strikes on a primary", () => {
  it("are the same for the same seed", () => {
    expect(drawn(1, 50)).toEqual(drawn(1, 50))
    expect(drawn(1, 50)).not.toEqual(drawn(2, 50))
  })

  it("are of every kind, and pauses are shorter and longer than a lease", () => {
    const all = drawn(3, 1000)
    const kinds = ["handed over", "killed", "killed ahead", "paused", "paused ahead", "stopped"]
    expect([...new Set(all.map(kindOf))].toSorted()).toEqual(kinds)
    expect(all.filter(isViolent).length).toBeGreaterThan(700)
    const pauses = all.flatMap((strike) => (strike._tag === "paused" ? [strike.forMs] : []))
    expect(Math.min(...pauses)).toBeLessThan(800)
    expect(Math.max(...pauses)).toBeGreaterThan(2500)
  })

  it("are told in words", () => {
    expect(inWords({ _tag: "killed", forMs: 1234, aheadMs: 0 }, "r0")).toBe("r0 killed for 1.2 s")
    expect(inWords({ _tag: "paused", forMs: 900, aheadMs: 300 }, "r1")).toBe(
      "r1 paused for 0.9 s, 0.3 s ahead",
    )
    expect(inWords({ _tag: "handed over", to: 1 }, "r0")).toBe("r0 hands over to r2")
  })
})
