import {
  decodePeerReport,
  digest,
  encodePeerReport,
  Epoch,
  GroupName,
  Malformed,
  Partition,
  type PeerReport,
  ReplicaId,
} from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { forged, understood } from "./forgery.ts"

const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/)
const report: fc.Arbitrary<PeerReport> = fc.record({
  group: token.map(GroupName),
  epoch: fc.maxSafeNat().map(Epoch),
  partition: fc.maxSafeNat().map(Partition),
  replica: token.map(ReplicaId),
  seq: fc.maxSafeNat(),
  chain: fc.string().map(digest),
  onProbation: fc.boolean(),
  schema: fc.record({
    number: fc.maxSafeNat(),
    versions: fc
      .uniqueArray(fc.tuple(fc.stringMatching(/^[A-Za-z/]{1,20}$/), fc.maxSafeNat()), {
        selector: ([type]) => type,
      })
      .map((versions) => new Map(versions)),
  }),
})

describe("a replica's report to its peers", () => {
  it("arrives as it was sent", () => {
    const law = fc.property(report, (told) => {
      expect(decodePeerReport(encodePeerReport(told))).toEqual(told)
    })
    fc.assert(law)
  })

  it("that nobody sent is malformed, or it says exactly what its bytes say", () => {
    const law = fc.property(forged(report.map(encodePeerReport)), (bytes) => {
      const told = understood(() => decodePeerReport(bytes))
      return told === undefined || encodePeerReport(told).equals(bytes)
    })
    fc.assert(law, { numRuns: 2000 })
  })

  it("is not taken for one when it is something else", () => {
    expect(() => decodePeerReport(Buffer.from("41016300", "hex"))).toThrow(/not a peer's report/)
    expect(() => decodePeerReport(new Uint8Array(0))).toThrow(Malformed)
  })
})
