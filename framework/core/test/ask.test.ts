import { type Ask, ClientId, decodeAsk, encodeAsk, Malformed, SessionId } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { forged, understood } from "./forgery.ts"

const ask: fc.Arbitrary<Ask> = fc.record({
  client: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/).map(ClientId),
  session: fc.maxSafeNat().map(SessionId),
  number: fc.maxSafeNat(),
})

describe("a client's question", () => {
  it("arrives as it was sent", () => {
    const law = fc.property(ask, (asked) => {
      expect(decodeAsk(encodeAsk(asked))).toEqual(asked)
    })
    fc.assert(law)
  })

  it("that nobody sent is malformed, or it asks exactly what its bytes say", () => {
    const law = fc.property(forged(ask.map(encodeAsk)), (bytes) => {
      const asked = understood(() => decodeAsk(bytes))
      return asked === undefined || encodeAsk(asked).equals(bytes)
    })
    fc.assert(law, { numRuns: 2000 })
  })

  it("is not taken for one when it is something else", () => {
    expect(() => decodeAsk(Buffer.from("56016300", "hex"))).toThrow(/not a question of this version/)
    expect(() => decodeAsk(new Uint8Array(0))).toThrow(Malformed)
  })
})
