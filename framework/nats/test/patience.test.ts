import { describe, expect, it } from "vitest"
import { Patience, PATIENCE_MS } from "../src/patience.ts"

describe("patience with a server", () => {
  function counted() {
    const left = { times: 0 }
    return { left, patience: new Patience(() => left.times++) }
  }

  it("ends when what is asked again and again comes to nothing, and begins anew with the next server", () => {
    const { left, patience } = counted()
    for (let nowMs = 0; nowMs <= PATIENCE_MS; nowMs += 1000) patience.asked(nowMs)
    expect(left.times).toBe(0)
    patience.asked(PATIENCE_MS + 1)
    expect(left.times).toBe(1)
    patience.asked(PATIENCE_MS + 2)
    expect(left.times).toBe(1)
  })

  it("has no end while the log answers", () => {
    const { left, patience } = counted()
    for (let nowMs = 0; nowMs < 100_000; nowMs += 1000) {
      patience.asked(nowMs)
      patience.answered()
    }
    expect(left.times).toBe(0)
  })

  it("is not used up by what was asked long ago, and not since", () => {
    const { left, patience } = counted()
    patience.asked(0)
    patience.asked(10 * PATIENCE_MS)
    patience.asked(10 * PATIENCE_MS + 1)
    expect(left.times).toBe(0)
  })
})
