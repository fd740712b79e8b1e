import { type ActorRow, Command, Replicated } from "@lockstep/actor"
import type { Outcome } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { mode, Stage } from "./stage.ts"

@Replicated({ name: "Note", version: 1, mode })
class Note {
  text = ""
  strange: unknown = undefined

  @Command()
  add(text: string): string {
    return (this.text += text)
  }

  /** No checkpoint can hold what it leaves. */
  @Command()
  turnStrange(): void {
    this.strange = () => 1
  }
}

const key = fc.constantFrom("a", "b", "c", "d", "e")
const doing = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("add" as const), key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("turnStrange" as const), key }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("take" as const), count: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 2, arbitrary: fc.constant({ do: "mark" as const }) },
)

/** Rows of all checkpoints, each in the order of keys. */
type Checkpoints = ReadonlyArray<ReadonlyArray<ActorRow>>

const byKey = (rows: ReadonlyArray<ActorRow>): ReadonlyArray<ActorRow> =>
  rows.toSorted((one, other) => one.key.localeCompare(other.key))

describe("what commands have changed", () => {
  it("is given in pieces of the size that is asked for, in the order in which it was changed", () => {
    const stage = new Stage("guarded", Note)
    const changes = stage.noteChanges()
    for (const name of ["a", "b", "c", "d", "e"]) stage.callKey(Note, name, "add", "text")
    changes.mark(1)
    const keys = [2, 2, 2, 2].map((count) => changes.take(count).map((row) => row.key))
    expect(keys).toEqual([["a", "b"], ["c", "d"], ["e"], []])
  })

  it("is taken as it was at the mark, however few rows at a time, and whatever runs meanwhile", () => {
    fc.assert(
      fc.property(fc.array(doing, { maxLength: 80 }), (steps) => {
        const [atOnce, slowly] = [new Stage("guarded", Note), new Stage("guarded", Note)]
        atOnce.noteChanges()
        const changes = slowly.noteChanges()
        const [wanted, found]: [Array<ReadonlyArray<ActorRow>>, Array<Array<ActorRow>>] = [[], []]
        const outcomes: [Array<Outcome>, Array<Outcome>] = [[], []]
        for (const [seq, step] of steps.entries())
          if (step.do === "mark") {
            wanted.push(atOnce.takeChanges(seq))
            found.at(-1)?.push(...changes.take())
            changes.mark(seq)
            found.push([])
          } else if (step.do === "take") {
            found.at(-1)?.push(...changes.take(step.count))
          } else {
            const args = step.do === "add" ? [String(seq)] : []
            for (const [i, stage] of [atOnce, slowly].entries())
              outcomes[i]?.push(stage.callKey(Note, step.key, step.do, ...args))
          }
        found.at(-1)?.push(...changes.take())
        expect(changes.owed).toBe(0)
        expect(outcomes[1]).toEqual(outcomes[0])
        const [all, expected]: [Checkpoints, Checkpoints] = [found.map(byKey), wanted.map(byKey)]
        expect(all).toEqual(expected)
        expect(slowly.digest).toBe(atOnce.digest)
      }),
      { numRuns: 500 },
    )
  })
})
