import { describe, expect, it } from "vitest"
import { Annals } from "./annals.ts"

const reign = (epoch: number, master: string, position = 0, lossWindow = 0) => ({
  time: "",
  event: "reign",
  epoch,
  master,
  position,
  lossWindow,
})
const executed = (item: number) => ({ time: "", event: "executed", item })

describe("what replicas log of their primaries", () => {
  it("says in which reign, and in which place there, each entry was executed", () => {
    const annals = new Annals(
      new Map([
        ["r0", [reign(1, "r0"), executed(10), executed(11), reign(2, "r1", 2)]],
        ["r1", [reign(1, "r0"), reign(2, "r1", 2), executed(12), executed(11)]],
      ]),
    )
    expect(annals.onePrimaryEach().broken).toEqual([])
    expect([...annals.executions]).toEqual([
      [10, [{ epoch: 1, serial: 1 }]],
      [
        11,
        [
          { epoch: 1, serial: 2 },
          { epoch: 2, serial: 2 },
        ],
      ],
      [12, [{ epoch: 2, serial: 1 }]],
    ])
  })

  it("is wrong where two tell of one epoch's primary", () => {
    const logs = new Map([
      ["r0", [reign(1, "r0")]],
      ["r1", [reign(1, "r1")]],
    ])
    expect(new Annals(logs).onePrimaryEach().broken).toHaveLength(1)
  })

  it("is wrong where somebody executes who knows of another primary", () => {
    const logs = new Map([["r0", [reign(1, "r1"), executed(10)]]])
    expect(new Annals(logs).onePrimaryEach().broken).toHaveLength(1)
  })
})
