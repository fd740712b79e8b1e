import { type FaultModel, quorum } from "@lockstep/core"
import { describe, expect, it } from "vitest"

describe("a quorum", () => {
  it.for([
    [0, "byzantine", 1, 1],
    [1, "byzantine", 3, 2],
    [2, "byzantine", 5, 3],
    [10, "byzantine", 21, 11],
    [0, "crash", 1, 1],
    [1, "crash", 2, 1],
    [2, "crash", 3, 1],
    [10, "crash", 11, 1],
  ] as const)("for %i faults of kind %s is %i replicas and %i votes", ([faults, model, replicas, votes]) => {
    expect(quorum(faults, model)).toEqual({ replicas, votes })
  })

  it("is reached by correct replicas alone, and never by liars alone", () => {
    for (let faults = 0; faults <= 10; faults++) {
      const { replicas, votes } = quorum(faults, "byzantine")
      expect(replicas - faults).toBeGreaterThanOrEqual(votes)
      expect(votes).toBeGreaterThan(faults)
      expect(quorum(faults, "crash").replicas).toBeGreaterThan(faults)
    }
  })

  it.for([-1, 0.5, 11, NaN, Infinity, "1" as never, 1n as never, undefined as never])(
    "for %s faults is refused, with the range that is allowed",
    (faults) => {
      expect(() => quorum(faults, "byzantine")).toThrow(RangeError)
      expect(() => quorum(faults, "crash")).toThrow(/whole number from 0 to 10, not /)
    },
  )

  it.for(["omission", "", undefined])("for faults of kind %s is refused", (model) => {
    expect(() => quorum(1, model as FaultModel)).toThrow(/faultModel must be "byzantine" or "crash", not/)
  })
})
