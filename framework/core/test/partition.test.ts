import { partitionOf } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { text } from "./text.ts"

const actor = fc.record({ type: fc.string(), key: text })

describe("the partition of an actor", () => {
  it.for([
    ["bank/Account", "alice", [0, 1, 2, 50, 402]],
    ["bank/Account", "bob", [1, 1, 7, 63, 951]],
    ["Counter", "k0", [1, 0, 5, 61, 445]],
    ["Counter", "ключ", [1, 0, 3, 27, 243]],
    ["a", "\0b", [1, 1, 5, 29, 645]],
  ] as const)("never changes, as actors would be left behind: %s %j", ([type, key, known]) => {
    expect([2, 3, 8, 64, 1000].map((partitions) => partitionOf({ type, key }, partitions))).toEqual(known)
  })

  it("is one that there is, and the only one where there is one", () => {
    const law = fc.property(actor, fc.integer({ min: 1, max: 2 ** 20 }), (one, partitions) => {
      const partition = partitionOf(one, partitions)
      expect(Number.isInteger(partition) && partition >= 0 && partition < partitions).toBe(true)
      expect(partitionOf(one, 1)).toBe(0)
    })
    fc.assert(law)
  })

  it("depends on the type and on the key", () => {
    const all = ["a", "b"].flatMap((type) => ["a", "b"].map((key) => partitionOf({ type, key }, 2 ** 20)))
    expect(new Set(all).size).toBe(4)
  })

  it.for([2, 3, 16])("is as likely as any other: %i partitions, keys that are counted up", (partitions) => {
    const actors = 20_000
    const sizes = Array.from({ length: partitions }, () => 0)
    for (let i = 0; i < actors; i++) {
      const partition = partitionOf({ type: "bank/Account", key: `user-${i}` }, partitions)
      sizes[partition] = (sizes[partition] ?? 0) + 1
    }
    // five standard deviations of a fair draw; the keys are fixed, so this holds or it does not
    const fair = actors / partitions
    for (const size of sizes) expect(Math.abs(size - fair)).toBeLessThan(5 * Math.sqrt(fair))
  })

  it.for([0, NaN])("of %d partitions is nowhere", (partitions) => {
    expect(() => partitionOf({ type: "a", key: "b" }, partitions)).toThrow()
  })
})
