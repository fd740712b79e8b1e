import { type ActorShelf, Command, Query, Replicated } from "@lockstep/actor"
import { Malformed, type Outcome } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { mode, Stage } from "./stage.ts"

@Replicated({ name: "Notes", version: 1, mode })
class Notes {
  readonly lines: Array<string> = []
  readonly seen = new Map<string, number>()

  @Command()
  add(line: string): number {
    this.seen.set(line, this.lines.push(line))
    return this.lines.length
  }

  @Query()
  all(): ReadonlyArray<string> {
    return this.lines
  }
}

/** A stage whose actors leave memory as soon as they may. */
class Forgetful {
  readonly stage = new Stage("guarded", Notes)
  readonly rows = new Map<string, Uint8Array>()
  #seq = 0

  constructor(bytesMax: number) {
    const shelf: ActorShelf = {
      read: (type, key) => this.rows.get(`${type}/${key}`),
      rows: () =>
        [...this.rows].map(([id, bytes]) => ({ type: "Notes", key: id.slice("Notes/".length), bytes })),
    }
    this.stage.noteChanges({ shelf, bytesMax })
  }

  checkpoint(): void {
    for (const { type, key, bytes } of this.stage.takeChanges(++this.#seq))
      this.rows.set(`${type}/${key}`, bytes)
    this.stage.actors.shelved(this.#seq)
  }
}

type Asked = { readonly key: string } & (
  | { readonly do: "add"; readonly line: string }
  | { readonly do: "all" }
)
const key = fc.constantFrom("a", "b", "c", "d", "e")
const step = fc.oneof(
  fc.record({ do: fc.constant("add" as const), key, line: fc.string({ maxLength: 5 }) }),
  fc.record({ do: fc.constant("all" as const), key }),
  fc.constant({ do: "checkpoint" as const }),
)

describe("an actor that left memory", () => {
  it("answers like one that stayed, after any sequence of commands and checkpoints", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(0, 1500, 1e9), (steps, bytesMax) => {
        const forgetful = new Forgetful(bytesMax)
        const plain = new Stage("guarded", Notes)
        const ask = (stage: Stage, next: Asked): Outcome =>
          stage.callKey(Notes, next.key, next.do, ...(next.do === "add" ? [next.line] : []))
        const outcomes = steps.map((next) =>
          next.do === "checkpoint" ? forgetful.checkpoint() : ask(forgetful.stage, next),
        )
        expect(outcomes).toEqual(
          steps.map((next) => (next.do === "checkpoint" ? undefined : ask(plain, next))),
        )
        expect(forgetful.stage.actors.size).toBe(plain.actors.size)
        expect(forgetful.stage.digest).toBe(plain.digest)
      }),
    )
  })

  it("is really gone, and comes back when a command needs it", () => {
    const forgetful = new Forgetful(0)
    for (let i = 0; i < 50; i++) forgetful.stage.callKey(Notes, `key ${i}`, "add", "line")
    expect(forgetful.stage.actors.resident).toBe(50)
    forgetful.checkpoint()
    expect(forgetful.stage.actors.resident).toBe(0)
    forgetful.stage.callKey(Notes, "key 7", "all")
    expect([forgetful.stage.actors.resident, forgetful.stage.actors.size]).toEqual([1, 50])
  })

  it("stays while it has changes that no checkpoint holds", () => {
    const forgetful = new Forgetful(0)
    forgetful.stage.callKey(Notes, "a", "add", "one")
    for (const { type, key: name, bytes } of forgetful.stage.takeChanges(1))
      forgetful.rows.set(`${type}/${name}`, bytes)
    forgetful.stage.callKey(Notes, "a", "add", "two")
    forgetful.stage.actors.shelved(1)
    expect(forgetful.stage.callKey(Notes, "a", "all")).toEqual({
      _tag: "Returned",
      value: ["one", "two"],
    })
  })

  it("is not begun anew where its row is damaged: the command is not executed", () => {
    const stage = new Stage("guarded", Notes)
    const read = (): never => {
      throw new Malformed("damaged")
    }
    stage.noteChanges({ shelf: { read, rows: () => [] }, bytesMax: 0 })
    expect(() => stage.callKey(Notes, "a", "add", "one")).toThrow(Malformed)
  })
})
