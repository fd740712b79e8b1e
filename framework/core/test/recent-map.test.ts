import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { RecentMap } from "@lockstep/core"

interface Weighed {
  readonly weight: number
}

const weigh = ({ weight }: Weighed): number => weight

const step = fc.record({
  key: fc.nat(20),
  weight: fc.integer({ min: 1, max: 30 }),
  isRead: fc.boolean(),
})

describe("a map that forgets what was not used for longest", () => {
  it("never yields what was not set last, and never forgets what was used within half of its weight", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
        const recent = new RecentMap<number, Weighed>(100, weigh)
        const all = new Map<number, Weighed>()
        /** By key: the weight of what was used after it, at most. */
        const usedSince = new Map<number, number>()
        for (const { key, weight, isRead } of steps) {
          const found = recent.get(key)
          const isMissed = found === undefined && all.has(key)
          expect(found === undefined || found === all.get(key)).toBe(true)
          expect(isMissed && (usedSince.get(key) ?? 0) < 50).toBe(false)
          const value = isRead ? found : { weight }
          if (value === undefined) continue
          if (!isRead) recent.set(key, value)
          all.set(key, value)
          const used = value.weight + (found?.weight ?? 0)
          for (const [other, since] of usedSince) usedSince.set(other, since + used)
          usedSince.set(key, 0)
        }
      }),
    )
  })

  it("holds no more than its weight, and what was used again and again through all of it", () => {
    const recent = new RecentMap<number, Weighed>(100, weigh)
    recent.set(0, { weight: 1 })
    for (let key = 1; key < 10_000; key++) {
      recent.set(key, { weight: 1 })
      expect(recent.get(0)).toBeDefined()
    }
    const held = Array.from({ length: 10_000 }, (_, key) => recent.get(key)).filter(
      (value) => value !== undefined,
    )
    expect(held.length).toBeLessThanOrEqual(100)
    expect(recent.get(9_999)).toBeDefined()
  })

  it("keeps the last one alone where it may weigh nothing", () => {
    const recent = new RecentMap<number, Weighed>(0, weigh)
    recent.set(1, { weight: 1 })
    recent.set(2, { weight: 1 })
    expect(recent.get(1)).toBeUndefined()
    expect(recent.get(2)).toBeDefined()
  })
})
