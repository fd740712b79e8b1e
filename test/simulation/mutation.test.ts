import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { autopsy } from "./gate.ts"
import { MUTANTS } from "./mutants.ts"

describe.concurrent("the simulator finds the deliberate bug", () => {
  it.each(MUTANTS)("$name, within $seedsMax seeds", async (mutant) => {
    const { seeds, rules } = await autopsy(mutant)
    expect(seeds, `${mutant.name} survived ${mutant.seedsMax} seeds`).toBeDefined()
    expect(rules).not.toEqual([])
  })
})

describe("docs/mutants.md", () => {
  it("lists every mutant", () => {
    const page = readFileSync(new URL("../../docs/mutants.md", import.meta.url), "utf8")
    const listed = [...page.matchAll(/^\| `([a-z-]+)` +\|/gm)].map(([, name]) => name)
    expect(listed).toEqual(MUTANTS.map(({ name }) => name))
  })
})
