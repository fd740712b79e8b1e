import { describe, expect, it } from "vitest"
import { Carrier } from "../src/carrier.ts"
import { compare, type Stories } from "../src/comparison.ts"
import type { Reservation } from "../src/inventory.ts"

/** r0 made 1 to 4, was killed, and r1 goes on. All of it is booked. */
function stories(changes: Partial<Stories>): Stories {
  const acknowledged = [1, 2, 3, 4].map((number) => reservation(`a${number}`, number, "r0"))
  return {
    replication: "asynchronous",
    killed: "r0",
    reigns: [{ epoch: 2, primary: "r1", position: 2, lossWindow: 2 }],
    acknowledged,
    reserved: acknowledged,
    bookings: acknowledged.map(({ id }) => ({ id, asked: 1 })),
    ...changes,
  }
}

function reservation(id: string, number: number, by: string): Reservation {
  return { id, number, by, atMs: 0 }
}

describe("comparison", () => {
  const { acknowledged } = stories({})

  it("counts what is lost and what is booked all the same, and finds nothing broken within the window", () => {
    const found = compare(stories({ reserved: acknowledged.slice(0, 2) }))
    expect(found).toMatchObject({ acknowledged: 4, lost: 2, lastKept: 2, firstLost: 3, broken: [] })
    expect(found.orphans).toEqual({ acknowledged: ["a3", "a4"], unanswered: [] })
  })

  it.each([
    {
      promise: "synchronous and semi-synchronous groups lose nothing",
      changes: { replication: "synchronous", reserved: acknowledged.slice(0, 3) } as const,
    },
    {
      promise: "no more is lost than was reported",
      changes: { reserved: acknowledged.slice(0, 1) },
    },
    {
      promise: "what is left of the killed primary's reservations is a prefix of them",
      changes: { reserved: [...acknowledged.slice(0, 2), reservation("a4", 3, "r0")] },
    },
    {
      promise: "nothing is reserved twice",
      changes: { reserved: [...acknowledged, reservation("a1", 5, "r1")] },
    },
    {
      promise: "reservations have the numbers 1, 2, 3, …",
      changes: { reserved: acknowledged.toReversed() },
    },
    {
      promise: "every reservation has a booking",
      changes: { bookings: [] },
    },
  ])("notices when it is broken that $promise", ({ promise, changes }) => {
    expect(compare(stories(changes)).broken).toEqual([promise])
  })
})

describe("carrier", () => {
  it("books the same id once, however often it is asked", async () => {
    using carrier = new Carrier(":memory:")
    await carrier.book("a")
    await carrier.book("b")
    await carrier.book("a")
    expect(carrier.bookings()).toEqual([
      { id: "a", asked: 2 },
      { id: "b", asked: 1 },
    ])
  })
})
