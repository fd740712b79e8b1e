import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Turns } from "../../src/primary-backup/turns.ts"

const turn = fc.uniqueArray(fc.constantFrom("a", "b", "c"), { minLength: 1 })

describe("turns", () => {
  it("are one at a time for each actor, in the order of arrival, and none waits for an actor of others", () => {
    const steps = fc.array(fc.oneof(turn, fc.constant("end" as const)), { maxLength: 40, size: "max" })
    fc.assert(
      fc.property(steps, fc.infiniteStream(fc.nat()), (all, choices) => {
        const turns = new Turns()
        const open: Array<{ readonly actors: ReadonlyArray<string>; hasBegun: boolean; end: () => void }> = []
        const end = (): void => {
          const running = open.filter(({ hasBegun }) => hasBegun)
          const one = running[Number(choices.next().value) % Math.max(1, running.length)]
          if (one === undefined) return
          open.splice(open.indexOf(one), 1)
          one.end()
        }
        const check = (): void => {
          for (const [i, { actors, hasBegun }] of open.entries()) {
            const isBlocked = open
              .slice(0, i)
              .some((before) => before.actors.some((id) => actors.includes(id)))
            expect(hasBegun).toBe(!isBlocked)
          }
        }
        for (const one of all) {
          if (one === "end") end()
          else {
            const entry = { actors: one, hasBegun: false, end: (): void => undefined }
            open.push(entry)
            const started = turns.add({
              actors: one.map((id) => ({ id })),
              begin() {
                entry.hasBegun = true
              },
            })
            entry.end = () => started.end()
          }
          check()
        }
        while (open.length > 0) {
          end()
          check()
        }
      }),
    )
  })
})
