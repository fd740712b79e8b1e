import {
  decodeEnvelope,
  encodeReconfiguration,
  Epoch,
  genesisRoster,
  isSameMembership,
  objectionTo,
  OPERATOR,
  ReplicaId,
  type Roster,
  ROSTER_NAMES_MAX,
} from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { forged, understood } from "./forgery.ts"

const names = (...list: ReadonlyArray<string>) => list.map(ReplicaId)
const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/).map(ReplicaId)
const anyRoster: fc.Arbitrary<Roster> = fc.record({
  epoch: fc.maxSafeNat().map(Epoch),
  voters: fc.array(token, { maxLength: 8 }),
  standbys: fc.array(token, { maxLength: 8 }),
})

/** Three voters in epoch 1, of which two decide. */
const current = genesisRoster(names("r0", "r1", "r2"))
const next: Roster = { epoch: Epoch(2), voters: names("r0", "r1", "r3"), standbys: names("r2") }

function objection(change: Partial<Roster>, source = OPERATOR): string | undefined {
  return objectionTo({ ...next, ...change }, { source, current, quorum: 2 })
}

describe("a roster in the log", () => {
  it("arrives as it was stated", () => {
    const law = fc.property(anyRoster, (roster) => {
      expect(decodeEnvelope(encodeReconfiguration(roster))).toEqual({ _tag: "Reconfiguration", roster })
    })
    fc.assert(law)
  })

  it("that nobody stated is malformed, or it says exactly what its bytes say", () => {
    const law = fc.property(forged(anyRoster.map(encodeReconfiguration)), (bytes) => {
      const envelope = understood(() => decodeEnvelope(bytes))
      return envelope?._tag !== "Reconfiguration" || encodeReconfiguration(envelope.roster).equals(bytes)
    })
    fc.assert(law, { numRuns: 2000 })
  })

  it("takes effect where an operator states the next epoch", () => {
    expect(objection({})).toBeUndefined()
  })

  const refused: ReadonlyArray<readonly [what: string, change: Partial<Roster>, why: RegExp]> = [
    ["the current epoch again", { epoch: Epoch(1) }, /does not follow 1/],
    ["an epoch that skips one", { epoch: Epoch(3) }, /does not follow 1/],
    ["a voter twice", { voters: names("r0", "r1", "r0") }, /twice/],
    ["a voter that is a standby", { standbys: names("r1") }, /twice/],
    ["too few voters to decide", { voters: names("r0") }, /1 voters, and a decision needs 2/],
    [
      "more names than there may be",
      { standbys: Array.from({ length: ROSTER_NAMES_MAX }, (_, i) => ReplicaId(`s${i}`)) },
      /more than 64/,
    ],
  ]

  it.each(refused)("is refused where it states %s", (_, change, why) => {
    expect(objection(change)).toMatch(why)
  })

  it.each(["client.c", "replica.r0", "operator.x", ""])("is refused where %j states it", (source) => {
    expect(objection({}, source)).toMatch(/is not an operator/)
  })

  it("lets only the first of two operators succeed who saw the same one", () => {
    const first = { ...next, voters: names("r0", "r1", "r4") }
    expect(objectionTo(first, { source: OPERATOR, current, quorum: 2 })).toBeUndefined()
    expect(objectionTo(next, { source: OPERATOR, current: first, quorum: 2 })).toMatch(/does not follow 2/)
  })
})

describe("the same membership", () => {
  it("is one with the same names in the same places, in any order", () => {
    const { voters, standbys } = next
    expect(isSameMembership(next, { voters: voters.toReversed(), standbys })).toBe(true)
    expect(isSameMembership(next, { voters: standbys, standbys: voters })).toBe(false)
    expect(isSameMembership(next, { voters: voters.slice(1), standbys })).toBe(false)
  })
})
