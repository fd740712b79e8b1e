import { WrongBuild } from "@lockstep/actor"
import { encodeReconfiguration, Epoch, OPERATOR } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Fleet, keptSchema } from "../fleet.ts"
import { mode, sharded, Tally, TallyOfHundredths, TallyOfTenths } from "../tally.ts"

/** Three replicas of version 1, which the log has said, and a command that all of them have executed. */
function fleet(of = mode): Fleet {
  const group = new Fleet(of, Tally)
  group.state(1, { Tally: 1 })
  group.command("Tally", "add", 1)
  group.settle()
  return group
}

/** The log states version 2, and all replicas have come to that entry, and hold their checkpoints of it. */
function stopped(of = mode): { readonly group: Fleet; readonly seq: number } {
  const group = fleet(of)
  const seq = group.state(2, { Tally: 2 })
  group.settle()
  return { group, seq }
}

/** All are started with the new build, and a command more is executed: what they answer. */
function goesOn(group: Fleet): ReadonlySet<string> {
  for (const member of group.members) member.restart(TallyOfTenths)
  const number = group.command("Tally", "add", 1)
  group.settle()
  for (const member of group.members) member.ask(number)
  return new Set(group.answers(number))
}

/** What they should answer, where one command was executed before. */
const all = new Set(["r0", "r1", "r2"].map((name) => `${name}: 11 tenths, 1 added`))

describe("a replica whose build is older than what the log states", () => {
  it("executes nothing after that entry, whatever comes", () => {
    const { group, seq } = stopped()
    const number = group.command("Tally", "add", 1)
    group.settle()
    for (const member of group.members) {
      member.ask(number)
      expect(member.protocol.status).toMatchObject({ applied: seq, executed: 1, caughtUp: false })
    }
    expect(group.answers(number)).toEqual([])
  })

  it("says why, once, and is not halted", () => {
    const { group, seq } = stopped()
    group.settle()
    const why = `entry ${seq} says that Tally has version 2, and this build has version 1: start the build that has it`
    for (const { waits, halts, protocol } of group.members) {
      expect(waits).toEqual([why])
      expect(halts).toEqual([])
      expect(protocol.status.waits).toBe(why)
    }
  })

  it("has taken a checkpoint at exactly that entry, and attests that its disk holds it", () => {
    const { group, seq } = stopped()
    for (const member of group.members)
      expect(keptSchema(member)).toEqual({ seq, since: seq, number: 2, versions: { Tally: 2 } })
    expect(group.holders(seq)).toBe(3)
    expect(group.member(0).protocol.status.durable).toBe(seq)
  })

  it("attests it when it is started again, although it was killed before it could", () => {
    const group = fleet()
    const seq = group.state(2, { Tally: 2 })
    for (const member of group.members) {
      member.read()
      member.sync()
    }
    group.log.length = seq // what they attested never reached the log
    for (const member of group.members) member.restart()
    group.settle()
    expect(group.holders(seq)).toBe(3)
    expect(group.member(1).protocol.status).toMatchObject({ applied: seq, halted: undefined })
  })

  it.each([
    ["copies", mode],
    ["shards", sharded],
  ])(
    "fetches it where its disk is lost and the log begins later, and holds it for the new build: %s",
    (_, of) => {
      const group = fleet(of)
      const seq = group.state(2, { Tally: 2 })
      group.settle([group.member(0), group.member(2)])
      group.firstSeq = seq
      group.member(1).lose()
      group.member(1).restart()
      expect(group.holders(seq)).toBe(2)
      group.settle()
      expect(group.member(1).protocol.status).toMatchObject({ applied: seq, executed: 0, halted: undefined })
      expect(group.member(1).waits.at(-1)).toMatch(/start the build that has it$/)
      expect(keptSchema(group.member(1))).toMatchObject({ seq, since: seq, number: 2 })
      expect(group.holders(seq)).toBe(3)
      // so that another one may lose its disk
      group.member(0).lose()
      expect(goesOn(group)).toEqual(all)
    },
  )

  it("waits where its disk is lost, and peers hold none but later ones", () => {
    const { group, seq } = stopped()
    for (const index of [0, 2]) group.member(index).restart(TallyOfTenths)
    for (let i = 0; i < 6; i++) group.command("Tally", "add", 1)
    group.settle()
    group.firstSeq = seq + 1
    group.member(1).lose()
    group.member(1).restart()
    group.settle()
    expect(group.member(1).protocol.status).toMatchObject({ applied: 0, executed: 0, halted: undefined })
    expect(group.member(1).waits.at(-1)).toMatch(/start the build that has it$/)
    group.member(1).restart(TallyOfTenths)
    group.settle()
    expect(group.member(1).protocol.status).toMatchObject({ waits: undefined, caughtUp: true })
  })

  it("keeps it again where its disk did not take it: no later one would make up for that", () => {
    const group = fleet()
    const seq = group.state(2, { Tally: 2 })
    for (const member of group.members) {
      member.read()
      member.forget()
    }
    expect(group.holders(seq)).toBe(0)
    group.settle()
    expect(group.holders(seq)).toBe(3)
  })

  it("goes on answering for what it has executed", () => {
    const { group } = stopped()
    const before = group.said.length
    group.member(2).ask(1)
    expect(group.said.slice(before)).toEqual([{ replica: "r2", number: 1, value: "1" }])
  })

  it("follows who votes, so that what it attests counts", () => {
    const group = fleet()
    const seq = group.state(2, { Tally: 2 })
    const voters = group.members.map(({ replica }) => replica)
    group.put(encodeReconfiguration({ epoch: Epoch(2), voters, standbys: [] }), OPERATOR)
    group.settle()
    expect(group.member(0).protocol.status).toMatchObject({ durable: seq, roster: { epoch: 2 } })
  })

  it("does not start with a checkpoint that was taken later, and leaves it as it is", () => {
    const { group } = stopped()
    for (const member of group.members) member.restart(TallyOfTenths)
    for (let i = 0; i < 3; i++) group.command("Tally", "add", 1)
    group.settle()
    const kept = keptSchema(group.member(0))
    expect(() => group.member(0).restart(Tally)).toThrow(WrongBuild)
    expect(() => group.member(0).restart(Tally)).toThrow(
      /type Tally and version 2, and this build has version 1/,
    )
    expect(keptSchema(group.member(0))).toEqual(kept)
  })

  it("halts in a group that takes no checkpoints: no other build could go on", () => {
    const group = new Fleet(mode, Tally, { checkpoints: "none" })
    group.state(1, { Tally: 1 })
    group.state(2, { Tally: 2 })
    group.settle()
    expect(group.member(0).halts).toMatchObject([{ reason: "wrong-build" }])
  })
})

describe("a replica of the new build", () => {
  it("begins with the checkpoint at the upgrade, and executes everything after it", () => {
    const { group, seq } = stopped()
    const number = group.command("Tally", "add", 5)
    for (const member of group.members) member.restart(TallyOfTenths)
    group.settle()
    for (const member of group.members) member.ask(number)
    expect(group.answers(number)).toEqual(["r0", "r1", "r2"].map((name) => `${name}: 15 tenths, 1 added`))
    expect(group.member(0).protocol.status).toMatchObject({ waits: undefined, caughtUp: true })
    expect(group.member(0).protocol.status.applied).toBeGreaterThan(seq)
  })

  it("that is started too early waits, and fetches that checkpoint once others have taken it", () => {
    const group = fleet()
    for (let i = 0; i < 5; i++) group.command("Tally", "add", 1)
    group.settle()
    const early = group.member(2)
    early.restart(TallyOfTenths)
    const number = group.command("Tally", "add", 1)
    group.settle()
    expect(group.answers(number)).toEqual(["r0: 7", "r1: 7"])
    expect(early.waits.at(-1)).toMatch(/Tally has version 1, and this build has version 2: it waits/)
    const seq = group.state(2, { Tally: 2 })
    group.settle()
    expect(keptSchema(early)).toMatchObject({ seq })
    const after = group.command("Tally", "add", 1)
    group.settle()
    expect(group.answers(after)).toEqual(["r2: 71 tenths, 1 added"])
  })

  it("that has lost its disk replays nothing of what the old one has executed, and says nothing meanwhile", () => {
    const { group } = stopped()
    group.command("Tally", "add", 1)
    const lost = group.member(1)
    lost.lose()
    lost.restart(TallyOfTenths)
    const before = group.said.length
    const logged = group.log.length
    lost.read(1)
    lost.ask(1)
    lost.tick()
    expect([group.said.length, group.log.length]).toEqual([before, logged])
    group.settle()
    lost.ask(2)
    expect(group.said.slice(before)).toEqual([{ replica: "r1", number: 2, value: "11 tenths, 1 added" }])
  })

  it("needs a checkpoint of its own version: with one of another it waits", () => {
    const { group, seq } = stopped()
    for (const member of group.members) member.restart(TallyOfTenths)
    group.settle()
    group.member(0).restart(TallyOfHundredths)
    const number = group.command("Tally", "add", 1)
    group.settle()
    expect(group.answers(number)).toEqual(["r1: 11 tenths, 1 added", "r2: 11 tenths, 1 added"])
    expect(group.member(0).waits.at(-1)).toContain(`entry ${seq} says that Tally has version 2`)
    group.state(3, { Tally: 3 })
    group.settle()
    for (const member of group.members) member.restart(TallyOfHundredths)
    const last = group.command("Tally", "add", 1)
    group.settle()
    expect(group.answers(last)).toEqual(["r0", "r1", "r2"].map((name) => `${name}: 111 hundredths`))
  })

  it("puts the checkpoint together where its disk and those of its peers hold shards", () => {
    const { group, seq } = stopped(sharded)
    expect(goesOn(group)).toEqual(all)
    expect(group.members.map(({ protocol }) => protocol.status.applied >= seq)).toEqual([true, true, true])
  })
})

describe("the first schema that the log states", () => {
  it("says what was executed all along: whoever executed that goes on", () => {
    const group = new Fleet(mode, Tally)
    const first = group.command("Tally", "add", 1)
    group.state(1, { Tally: 1 })
    const second = group.command("Tally", "add", 1)
    group.settle()
    expect(group.answers(first)).toEqual(["r0: 1", "r1: 1", "r2: 1"])
    expect(group.answers(second)).toEqual(["r0: 2", "r1: 2", "r2: 2"])
    expect(group.member(0).waits).toEqual([])
  })

  it("is for any other build the end: it has executed what it should not have, and begins anew", () => {
    const group = new Fleet(mode, Tally)
    group.member(2).restart(TallyOfTenths)
    group.command("Tally", "add", 1)
    group.settle()
    group.state(1, { Tally: 1 })
    const number = group.command("Tally", "add", 1)
    group.settle()
    expect(group.answers(number)).toEqual(["r0: 2", "r1: 2"])
    group.state(2, { Tally: 2 })
    group.settle()
    const after = group.command("Tally", "add", 1)
    group.settle()
    expect(group.answers(after)).toEqual(["r2: 21 tenths, 1 added"])
  })

  it("is not needed by a replica to know a checkpoint of another build: each names what it was taken with", () => {
    const group = new Fleet(mode, Tally)
    for (let i = 0; i < 3; i++) group.command("Tally", "add", 1)
    group.settle()
    expect(keptSchema(group.member(0))).toMatchObject({ number: 0, versions: { Tally: 1 } })
    group.member(0).restart(TallyOfTenths)
    const number = group.command("Tally", "add", 1)
    group.settle()
    expect(group.answers(number)).toEqual(["r1: 4", "r2: 4"])
  })

  it("is ignored, and counted, where it is none: of anybody else, of a number that is taken, of what was before", () => {
    const group = fleet()
    const before = group.member(0).protocol.status.malformed
    group.state(2, { Tally: 2 }, "client.client")
    group.state(2, { Tally: 2 }, "replica.r0")
    group.state(1, { Tally: 2 })
    group.state(3, { Tally: 2 })
    group.state(2, { Tally: 1 })
    const number = group.command("Tally", "add", 1)
    group.settle()
    expect(group.answers(number)).toEqual(["r0: 2", "r1: 2", "r2: 2"])
    expect(group.member(0).protocol.status.malformed).toBe(before + 5)
  })
})

describe("an upgrade under any order of events", () => {
  type Event = { readonly what: (typeof EVENTS)[number]; readonly who: number; readonly size: number }
  const EVENTS = [
    "command",
    "command",
    "read",
    "read",
    "read",
    "sync",
    "tick",
    "kill",
    "lose",
    "new",
    "ask",
  ] as const
  const events: fc.Arbitrary<ReadonlyArray<Event>> = fc.array(
    fc.record({
      what: fc.constantFrom(...EVENTS),
      who: fc.nat({ max: 2 }),
      size: fc.integer({ min: 1, max: 9 }),
    }),
    { minLength: 20, maxLength: 120 },
  )

  /** Only one of three may lose what it knows: f is one. */
  const unlucky = 2

  it("gives every command the answer of the version that counts at its position, from every replica", () => {
    const law = fc.property(events, fc.nat({ max: 60 }), fc.nat({ max: 60 }), (given, firstAt, secondAt) => {
      const group = new Fleet(mode, Tally)
      const stated: Array<number> = []
      const state = (): void => void stated.push(group.state(stated.length + 1, { Tally: stated.length + 1 }))
      const upgradeSeq = (): number => stated[1] ?? Number.POSITIVE_INFINITY
      for (const [at, event] of given.entries()) {
        if (at === firstAt) state()
        if (at === firstAt + secondAt && stated.length === 1) state()
        const isHeld = group.holders(upgradeSeq()) >= mode.holders
        happen(group, event, isHeld ? "all" : stated.length > 0 ? "the unlucky one" : "nobody")
      }
      while (stated.length < 2) state()
      group.settle()
      for (const member of group.members) member.restart(TallyOfTenths)
      const last = group.command("Tally", "add", 1)
      group.settle()
      for (const member of group.members) for (let number = 1; number <= last; number++) member.ask(number)
      const right = expected(group, upgradeSeq())
      for (const { number, value } of group.said) expect(value).toBe(right.get(number))
      expect(new Set(group.answers(last)).size).toBe(3)
      expect(new Set(group.members.map(({ protocol }) => protocol.status.stateDigest())).size).toBe(1)
      expect(group.members.flatMap(({ halts }) => halts)).toEqual([])
    })
    fc.assert(law, { numRuns: 150, endOnFailure: true })
  })

  function happen(
    group: Fleet,
    { what, who, size }: Event,
    mayUpgrade: "all" | "the unlucky one" | "nobody",
  ): void {
    const member = group.member(who)
    switch (what) {
      case "command":
        return void group.command("Tally", "add", size)
      case "read":
        return member.read(size)
      case "sync":
        return member.sync()
      case "tick":
        return member.tick()
      case "kill":
        return member.restart()
      case "lose":
        if (who !== unlucky) return
        member.lose()
        return member.restart()
      case "new":
        if (mayUpgrade === "all" || (mayUpgrade !== "nobody" && who === unlucky))
          member.restart(TallyOfTenths)
        return
      case "ask":
        return member.ask(size)
    }
  }

  /** What one machine would answer that changes its build at the entry. */
  function expected(group: Fleet, upgradeSeq: number): ReadonlyMap<number, string> {
    const right = new Map<number, string>()
    const [tally, tenths] = [new Tally(), new TallyOfTenths()]
    for (const { seq, number, args } of group.commands) {
      const [amount] = args as [number] // every command of this test adds
      if (seq < upgradeSeq) {
        right.set(number, tally.add(amount))
        tenths.tenths = tally.count * 10
      } else right.set(number, tenths.add(amount))
    }
    return right
  }
})
