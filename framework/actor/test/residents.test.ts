import fc from "fast-check"
import { beforeEach, describe, expect, it } from "vitest"
import { Resident } from "../src/resident.ts"
import { OVERHEAD_BYTES, Residents } from "../src/residents.ts"

const actors = new Map<string, Resident>()

/** The same one for the same key. */
function actor(key: string): Resident {
  let found = actors.get(key)
  if (found === undefined) actors.set(key, (found = new Resident(actors, key, {})))
  return found
}

beforeEach(() => actors.clear())

/** Which of these leave, in which order. */
function leaving(residents: Residents, seq: number, stays: ReadonlyArray<string> = []): Array<string> {
  const left: Array<string> = []
  residents.evict(seq, ({ key }) => {
    if (stays.includes(key)) return false
    left.push(key)
    return true
  })
  return left
}

describe("the actors in memory", () => {
  it("leave when there are too many bytes of them, the one that a checkpoint held first going first", () => {
    const residents = new Residents(2 * (1000 + OVERHEAD_BYTES))
    for (const [seq, key] of ["a", "b", "c", "d"].entries()) residents.kept(actor(key), 1000, seq)
    expect(leaving(residents, 9)).toEqual(["a", "b"])
    expect(leaving(residents, 9)).toEqual([])
  })

  it("stay while the checkpoint that holds them is not on the disk", () => {
    const residents = new Residents(0)
    residents.kept(actor("a"), 1, 3)
    residents.kept(actor("b"), 1, 5)
    expect(leaving(residents, 4)).toEqual(["a"])
    expect(leaving(residents, 5)).toEqual(["b"])
  })

  it("are as old as the last checkpoint that held them", () => {
    const residents = new Residents(0)
    residents.kept(actor("a"), 1, 1)
    residents.kept(actor("b"), 1, 1)
    residents.kept(actor("a"), 1, 2)
    expect(leaving(residents, 1)).toEqual(["b"])
  })

  it("stay as long as they are needed, and others go", () => {
    const residents = new Residents(0)
    for (const key of ["a", "b", "c"]) residents.kept(actor(key), 1, 1)
    expect(leaving(residents, 1, ["a", "c"])).toEqual(["b"])
    expect(leaving(residents, 1)).toEqual(["a", "c"])
  })

  it("never need more than they may, once their checkpoints are on the disk", () => {
    const kept = fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d", "e", "f"), fc.nat(2000)), {
      maxLength: 40,
    })
    fc.assert(
      fc.property(kept, fc.nat(8000), (rows, bytesMax) => {
        actors.clear()
        const residents = new Residents(bytesMax)
        for (const [seq, [key, bytes]] of rows.entries()) residents.kept(actor(key), bytes, seq)
        const left = new Set(leaving(residents, rows.length))
        const sizes = new Map(rows)
        const there = [...sizes].filter(([key]) => !left.has(key))
        expect(there.reduce((sum, [, bytes]) => sum + bytes + OVERHEAD_BYTES, 0)).toBeLessThanOrEqual(
          bytesMax,
        )
      }),
    )
  })
})
