import { CommandContext, type Position } from "@lockstep/actor"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

const here: Position = {
  log: "log 3",
  seq: 41,
  index: 2,
  nowMs: 1_700_000_000_123,
  caller: "client-1",
  session: 7,
  number: 12,
}

describe("the context of a command", () => {
  it("says when and where it runs, for whom, and who asks", () => {
    const context = at(here, "alice")
    expect(context).toMatchObject({
      now: 1_700_000_000_123,
      seq: 41,
      key: "alice",
      caller: "client-1",
      id: "client-1/7/12",
    })
  })

  it("refuses to answer when the command is over, and before", () => {
    const context = at(here)
    const stream = [context.random(), context.uuid()]
    context.end()
    const over =
      "an actor's context was used after its command had ended: read what you need during the command"
    for (const ask of asks(context)) expect(ask).toThrow(over)
    for (const ask of asks(new CommandContext())) expect(ask).toThrow(over)
    context.begin(here, "alice")
    expect([context.random(), context.uuid()]).toEqual(stream)
  })
})

describe("the randomness of a command", () => {
  it("is the same at the same position, on every replica and whatever ran before", () => {
    const used = at({ ...here, seq: 40 })
    draw(used, 7)
    used.begin(here, "bob")
    expect(draw(used, 20)).toEqual(draw(at(here), 20))
    expect(draw(at({ ...here, nowMs: 1, caller: "client-2" }), 20)).toEqual(draw(at(here), 20))
  })

  it("is different at every other position", () => {
    const place = (log: number, seq: number, index: number): Position => ({
      log: String(log),
      seq,
      index,
      nowMs: 0,
      caller: "client",
      session: 1,
      number: 1,
    })
    const places = [0, 1, 2, 10, 12].flatMap((log) =>
      [1, 2, 12, 2 ** 40].flatMap((seq) => [0, 1, 2, 11].map((index) => place(log, seq, index))),
    )
    expect(new Set(places.map((where) => at(where).random())).size).toBe(places.length)
    expect(new Set(places.map((where) => at(where).uuid())).size).toBe(places.length)
  })

  it("never changes: it is part of what a log means", () => {
    const context = at(here)
    expect([context.random(), context.random(), context.uuid(), context.random(), context.uuid()]).toEqual(
      GOLDEN,
    )
    expect(at({ ...here, log: "log", seq: 1, index: 0, nowMs: 0, caller: "" }).uuid()).toBe(FIRST_UUID)
  })

  it("is spread evenly over [0, 1), in all of its bits", () => {
    const context = at(here)
    const numbers = Array.from({ length: 20_000 }, () => context.random())
    expect(numbers.every((number) => number >= 0 && number < 1)).toBe(true)
    const buckets = Array.from({ length: 16 }, () => 0)
    const low = Array.from({ length: 16 }, () => 0)
    for (const number of numbers) {
      const [high, bits] = [Math.floor(number * 16), Number((BigInt(number * 2 ** 53) & 15n).toString())]
      buckets[high] = (buckets[high] ?? 0) + 1
      low[bits] = (low[bits] ?? 0) + 1
    }
    // chi-squared with 15 degrees of freedom: below 37.7 with probability 0.999, and the numbers are always the same
    expect(chiSquared(buckets, numbers.length)).toBeLessThan(37.7)
    expect(chiSquared(low, numbers.length)).toBeLessThan(37.7)
  })

  it("makes the first numbers of neighbouring commands independent", () => {
    const first = Array.from({ length: 20_000 }, (_, index) => at({ ...here, index }).random())
    const buckets = Array.from({ length: 16 }, () => 0)
    first.slice(1).forEach((number, i) => {
      const pair = 4 * Math.floor(4 * (first[i] ?? 0)) + Math.floor(4 * number)
      buckets[pair] = (buckets[pair] ?? 0) + 1
    })
    expect(chiSquared(buckets, first.length - 1)).toBeLessThan(37.7)
  })

  it("makes valid UUIDs of version 4", () => {
    const place = fc.record({ partition: fc.nat(), seq: fc.nat(), index: fc.nat() })
    fc.assert(
      fc.property(place, (where) => {
        const context = at({ ...here, ...where })
        const uuids = Array.from({ length: 5 }, () => context.uuid())
        for (const uuid of uuids)
          expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
        expect(new Set(uuids).size).toBe(5)
      }),
    )
  })
})

// Computed by another implementation, in Python, from the description: sfc32, seeded by SHA-256 of "3/41/2".
const GOLDEN = [
  0.5004482722418373,
  0.4545769881596944,
  "eb0323b2-11e9-4153-9072-457c66aab08c",
  0.9482479401063366,
  "5b712740-0edf-430e-9f8d-011e56416097",
]
const FIRST_UUID = "239a7570-e398-4ce0-8c51-04c3d5113a40"

function at(position: Position, key = "alice"): CommandContext {
  const context = new CommandContext()
  context.begin(position, key)
  return context
}

function asks(context: CommandContext): ReadonlyArray<() => unknown> {
  return [
    () => context.now,
    () => context.seq,
    () => context.key,
    () => context.caller,
    () => context.random(),
    () => context.uuid(),
  ]
}

function draw(context: CommandContext, count: number): ReadonlyArray<unknown> {
  return Array.from({ length: count }, (_, i) => (i % 2 === 0 ? context.random() : context.uuid()))
}

function chiSquared(observed: ReadonlyArray<number>, total: number): number {
  const expected = total / observed.length
  return observed.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
}
