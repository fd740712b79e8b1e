import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Residents } from "../src/residents.ts"

/** Which of these leave, in which order. */
function leaving(residents: Residents, seq: number, stays: ReadonlyArray<string> = []): Array<string> {
  const left: Array<string> = []
  residents.evict(seq, (_, key) => {
    if (stays.includes(key)) return false
    left.push(key)
    return true
  })
  return left
}

describe("the actors in memory", () => {
  it("leave when there are too many bytes of them, the one that a checkpoint held first going first", () => {
    const residents = new Residents(2 * 1512)
    for (const [seq, key] of ["a", "b", "c", "d"].entries()) residents.kept("T", key, 1000, seq)
    expect(leaving(residents, 9)).toEqual(["a", "b"])
    expect(leaving(residents, 9)).toEqual([])
  })

  it("stay while the checkpoint that holds them is not on the disk", () => {
    const residents = new Residents(0)
    residents.kept("T", "a", 1, 3)
    residents.kept("T", "b", 1, 5)
    expect(leaving(residents, 4)).toEqual(["a"])
    expect(leaving(residents, 5)).toEqual(["b"])
  })

  it("are as old as the last checkpoint that held them", () => {
    const residents = new Residents(0)
    residents.kept("T", "a", 1, 1)
    residents.kept("T", "b", 1, 1)
    residents.kept("T", "a", 1, 2)
    expect(leaving(residents, 1)).toEqual(["b"])
  })

  it("stay as long as they are needed, and others go", () => {
    const residents = new Residents(0)
    for (const key of ["a", "b", "c"]) residents.kept("T", key, 1, 1)
    expect(leaving(residents, 1, ["a", "c"])).toEqual(["b"])
    expect(leaving(residents, 1)).toEqual(["a", "c"])
  })

  it("never need more than they may, once their checkpoints are on the disk", () => {
    const kept = fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d", "e", "f"), fc.nat(2000)), {
      maxLength: 40,
    })
    fc.assert(
      fc.property(kept, fc.nat(8000), (rows, bytesMax) => {
        const residents = new Residents(bytesMax)
        for (const [seq, [key, bytes]] of rows.entries()) residents.kept("T", key, bytes, seq)
        const left = new Set(leaving(residents, rows.length))
        const sizes = new Map(rows)
        const there = [...sizes].filter(([key]) => !left.has(key))
        expect(there.reduce((sum, [, bytes]) => sum + bytes + 512, 0)).toBeLessThanOrEqual(bytesMax)
      }),
    )
  })
})
