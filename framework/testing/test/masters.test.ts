import { describe, expect, it } from "vitest"
import { checkOneMaster, checkSuccession, type Reigned } from "../src/masters.ts"
import type { Page } from "../src/chronicle.ts"
import { pages, proclaimed } from "./pages.ts"

describe("one master in an epoch", () => {
  it("is what replicas say that say the same, as often as they like", () => {
    const all = [
      proclaimed({ epoch: 1, position: 0, master: "r0" }, "r0"),
      proclaimed({ epoch: 1, position: 0, master: "r0" }, "r1"),
      proclaimed({ epoch: 2, position: 7, master: "r1" }, "r1"),
      proclaimed({ epoch: 1, position: 0, master: "r0" }, "r2"),
    ]
    expect(checkOneMaster(all)).toEqual([])
  })

  it("is not where two name two", () => {
    const all = [
      proclaimed({ epoch: 2, position: 7, master: "r1" }, "r1"),
      proclaimed({ epoch: 2, position: 7, master: "r2" }, "r2"),
    ]
    expect(checkOneMaster(all)).toEqual(["epoch 2: r2 says r2 from 7, and r1 r1 from 7"])
  })

  it("begins at one position", () => {
    const all = [proclaimed({ epoch: 2, position: 7 }, "r1"), proclaimed({ epoch: 2, position: 6 }, "r2")]
    expect(checkOneMaster(all)).toHaveLength(1)
  })
})

describe("what a master begins with", () => {
  const before = pages(1, 10)

  it("is a prefix of what the one before had, and that one may have had more", () => {
    const eighth = at(before, 8)
    const reigns = [reigned(1, before), reigned(2, pages(2, 3, eighth))]
    expect(checkSuccession(reigns, [proclaimed({ epoch: 2, position: 8 })])).toEqual([])
  })

  it("may be all of it, over an epoch in which nothing was written", () => {
    expect(checkSuccession([reigned(1, before), reigned(5, pages(5, 1, before))], [])).toEqual([])
  })

  it("is not the history of an earlier master, which the one before did not have", () => {
    const second = pages(2, 1, at(before, 8))
    const third = pages(3, 1, before)
    const reigns = [reigned(1, before), reigned(2, second), reigned(3, third)]
    expect(checkSuccession(reigns, [])).toEqual([
      "the master of epoch 3 began with 1/10, and the one before had 2/9",
    ])
  })

  it("is what an earlier master had, where any backup may be the next one and the one before acknowledged nothing that it made", () => {
    const second = pages(2, 1, at(before, 8))
    const reigns = (acknowledged: number) => [
      reigned(1, before),
      reigned(2, second, acknowledged),
      reigned(3, pages(3, 1, before)),
    ]
    expect(checkSuccession(reigns(8), [])).toHaveLength(1)
    expect(checkSuccession(reigns(8), [], { mayPassOver: true })).toEqual([])
    expect(checkSuccession(reigns(9), [], { mayPassOver: true })).toHaveLength(1)
  })

  it("is where the log says that it begins: no hole, and nothing taken back", () => {
    const reigns = [reigned(1, before), reigned(2, pages(2, 1, at(before, 8)))]
    expect(checkSuccession(reigns, [proclaimed({ epoch: 2, position: 9 })])).toEqual([
      "the master of epoch 2 was to begin after 9, and made record 9 first",
    ])
  })
})

function at(last: Page, position: number): Page {
  let page = last
  while (page.record.position > position && page.before !== undefined) page = page.before
  return page
}

function reigned(epoch: number, last: Page, acknowledged = last.record.position): Reigned {
  let first = last
  while (first.before?.record.epoch === epoch) first = first.before
  return { epoch, first, last, acknowledged }
}
