import { quorum, ReplicaId, type Standing, Tally } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"

const names = Array.from({ length: 7 }, (_, i) => ReplicaId(`r${i}`))

interface Vote {
  readonly replica: ReplicaId
  readonly statement: string
  readonly position: number
}

/** What is said of a position names it, as statements do: so what is said of two positions is never the same. */
function vote(replica: ReplicaId, said: string, position: number): Vote {
  return { replica, statement: `${said} at ${position}`, position }
}

function cast(tally: Tally, { replica, statement, position }: Vote): ReturnType<Tally["add"]> {
  return tally.add(replica, statement, position)
}

/** Groups of any size and quorum, and votes of members and strangers in any order, with repetitions and second thoughts. */
const ballot = fc.integer({ min: 1, max: 4 }).chain((size) =>
  fc.record({
    replicas: fc.constant(names.slice(0, size)),
    needed: fc.integer({ min: 1, max: size }),
    votes: fc.array(
      fc
        .tuple(fc.constantFrom(...names.slice(0, 5)), fc.constantFrom("a", "b", "c"), fc.nat(2))
        .map(([replica, said, position]) => vote(replica, said, position)),
      { maxLength: 12 },
    ),
  }),
)

describe("a tally of 2f+1 replicas that needs f+1 votes", () => {
  /** A batch stands at one position or at several; every correct replica says the same of each, some of it lost. */
  const election = fc.integer({ min: 0, max: 3 }).chain((faults) =>
    fc.record({
      faults: fc.constant(faults),
      liars: fc.shuffledSubarray(names.slice(0, 2 * faults + 1), { maxLength: faults }),
      lies: fc.array(fc.tuple(fc.nat(), fc.constantFrom("truth", "lie", "another lie"), fc.nat(9)), {
        maxLength: 12,
      }),
      positions: fc.uniqueArray(fc.nat(9), { minLength: 1, maxLength: 3 }),
      lost: fc.array(fc.boolean(), { maxLength: 12 }),
      order: fc.array(fc.nat(), { minLength: 30, maxLength: 30 }),
    }),
  )

  it("decides nothing but a truth, and does decide, whatever f liars say and in whatever order", () => {
    const law = fc.property(election, ({ faults, liars, lies, positions, lost, order }) => {
      const { replicas, votes: needed } = quorum(faults, "byzantine")
      const members = names.slice(0, replicas)
      const correct = members.filter((name) => !liars.includes(name))
      const last = Math.max(...positions)
      const truths = correct
        .flatMap((replica) => positions.map((position) => vote(replica, "truth", position)))
        .filter(({ position }, i) => position === last || !lost[i])
      const lied = lies.flatMap(([by, said, position]) =>
        pick(liars, by).map((liar) => vote(liar, said, position)),
      )
      const tally = new Tally({ needed, replicas: members })
      const possible = [undefined, ...positions.map((position) => `truth at ${position}`)]
      for (const next of shuffled(order, [...truths, ...lied])) {
        cast(tally, next)
        expect(tally.standing._tag).not.toBe("Impossible")
        expect(possible).toContain(decision(tally.standing))
      }
      expect(tally.standing._tag).toBe("Decided")
    })
    fc.assert(law, { numRuns: 1000 })
  })
})

describe("a tally", () => {
  it("is Impossible exactly when nothing that can still be said could decide it", () => {
    const seen = new Set<string>()
    const law = fc.property(ballot, ({ needed, replicas, votes }) => {
      const tally = new Tally({ needed, replicas })
      for (const next of votes) cast(tally, next)
      expect([prospect(tally, needed, replicas), "Decided"]).toContain(tally.standing._tag)
      seen.add(tally.standing._tag)
    })
    fc.assert(law, { numRuns: 1000 })
    expect([...seen].toSorted()).toEqual(["Decided", "Impossible", "Waiting"])
  })

  it("is Decided from the vote on that makes so many equal ones, and never changes its mind", () => {
    const law = fc.property(ballot, ({ needed, replicas, votes }) => {
      const tally = new Tally({ needed, replicas })
      const holders = (statement: string | undefined): number =>
        [...tally.votes.values()].filter((other) => other === statement).length
      let decided: string | undefined
      for (const next of votes) {
        cast(tally, next)
        if (holders(next.statement) >= needed) decided ??= next.statement
        expect(decision(tally.standing)).toBe(decided)
      }
      return decided === undefined || holders(decided) >= needed
    })
    fc.assert(law, { numRuns: 1000 })
  })

  it("counts what each member said first of the latest position, and tells the rest apart", () => {
    const law = fc.property(ballot, ({ replicas, votes }) => {
      const tally = new Tally({ needed: 99, replicas })
      const counted = new Map<ReplicaId, Vote>()
      for (const next of votes) {
        const verdict = verdictOn(next, counted.get(next.replica), replicas)
        expect(cast(tally, next)).toBe(verdict)
        if (verdict === "counted") counted.set(next.replica, next)
      }
      expect([...tally.votes]).toEqual([...counted].map(([replica, { statement }]) => [replica, statement]))
      expect(tally.missing).toEqual(replicas.filter((replica) => !counted.has(replica)))
    })
    fc.assert(law, { numRuns: 1000 })
  })

  it("waits before the first vote", () => {
    const tally = new Tally({ needed: 2, replicas: names.slice(0, 3) })
    expect([tally.standing, tally.missing]).toEqual([{ _tag: "Waiting" }, names.slice(0, 3)])
  })

  it("does not decide on one replica's word, however often it is given", () => {
    const tally = new Tally({ needed: 2, replicas: names.slice(0, 3) })
    for (const position of [1, 1, 2, 3, 1]) cast(tally, vote(ReplicaId("r0"), "a", position))
    expect(tally.standing).toEqual({ _tag: "Waiting" })
  })
})

function verdictOn(next: Vote, before: Vote | undefined, replicas: ReadonlyArray<ReplicaId>): string {
  if (!replicas.includes(next.replica)) return "stranger"
  if (before === undefined || next.position > before.position) return "counted"
  if (next.position < before.position) return "superseded"
  return next.statement === before.statement ? "repeated" : "equivocated"
}

/**
 * By trying every way in which it could go on: who was silent may still say anything that was said, or something new; who
 * spoke may still say what was said of a later position.
 */
function prospect(
  tally: Tally,
  needed: number,
  replicas: ReadonlyArray<ReplicaId>,
): "Waiting" | "Impossible" {
  const positionOf = (statement: string): number => Number(statement.split(" at ")[1])
  const said = [...new Set(tally.votes.values())]
  let endings: ReadonlyArray<ReadonlyArray<string>> = [[]]
  for (const replica of replicas) {
    const current = tally.votes.get(replica)
    const choices =
      current === undefined
        ? [...said, "news at 9"]
        : [current, ...said.filter((other) => positionOf(other) > positionOf(current))]
    endings = endings.flatMap((ending) => choices.map((choice) => ending.concat(choice)))
  }
  const decides = (ending: ReadonlyArray<string>): boolean =>
    ending.some((one) => ending.filter((other) => other === one).length >= needed)
  return endings.some(decides) ? "Waiting" : "Impossible"
}

function decision(standing: Standing): string | undefined {
  return standing._tag === "Decided" ? standing.statement : undefined
}

function shuffled(order: ReadonlyArray<number>, votes: ReadonlyArray<Vote>): ReadonlyArray<Vote> {
  return votes
    .map((each, i) => ({ each, at: order[i % order.length] ?? 0 }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ each }) => each)
}

function pick<Item>(items: ReadonlyArray<Item>, at: number): ReadonlyArray<Item> {
  return items.length === 0 ? [] : items.slice(at % items.length).slice(0, 1)
}
