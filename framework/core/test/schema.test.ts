import {
  decodeEnvelope,
  encodeUpgrade,
  isSameVersions,
  Malformed,
  objectionToSchema,
  OPERATOR,
  type Schema,
  SCHEMA_TYPES_MAX,
} from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { forged, understood } from "./forgery.ts"

const type = fc.stringMatching(/^[A-Za-z][A-Za-z0-9._/-]{0,30}$/)
const anySchema: fc.Arbitrary<Schema> = fc.record({
  number: fc.maxSafeNat(),
  versions: fc
    .uniqueArray(fc.tuple(type, fc.maxSafeNat()), { selector: ([name]) => name, maxLength: 8 })
    .map((versions) => new Map(versions)),
})

function schema(number: number, versions: Readonly<Record<string, number>>): Schema {
  return { number, versions: new Map(Object.entries(versions)) }
}

const current = schema(3, { Account: 2, Bank: 1 })

function objection(next: Schema, source = OPERATOR): string | undefined {
  return objectionToSchema(next, { source, current })
}

describe("a schema in the log", () => {
  it("arrives as it was stated, in whatever order its classes were named", () => {
    const law = fc.property(anySchema, ({ number, versions }) => {
      const bytes = encodeUpgrade({ number, versions })
      expect(decodeEnvelope(bytes)).toEqual({ _tag: "Upgrade", schema: { number, versions } })
      expect(encodeUpgrade({ number, versions: new Map([...versions].toReversed()) })).toEqual(bytes)
    })
    fc.assert(law)
  })

  it("that nobody stated is malformed, or it says exactly what its bytes say", () => {
    const law = fc.property(forged(anySchema.map(encodeUpgrade)), (bytes) => {
      const envelope = understood(() => decodeEnvelope(bytes))
      return envelope?._tag !== "Upgrade" || encodeUpgrade(envelope.schema).equals(bytes)
    })
    fc.assert(law, { numRuns: 2000 })
  })

  it("has a bound: in classes, and in the length of their names", () => {
    const many = new Map(Array.from({ length: SCHEMA_TYPES_MAX + 1 }, (_, i) => [`T${i}`, 1]))
    expect(() => decodeEnvelope(encodeUpgrade({ number: 1, versions: many }))).toThrow(/more than 1024/)
    const long = encodeUpgrade(schema(1, { ["T".repeat(129)]: 1 }))
    expect(() => decodeEnvelope(long)).toThrow(Malformed)
  })

  it("takes effect where an operator states the next number, and a later version or a new class", () => {
    expect(objection(schema(4, { Account: 3, Bank: 1 }))).toBeUndefined()
    expect(objection(schema(4, { Account: 2, Bank: 1, Clerk: 7 }))).toBeUndefined()
  })

  const refused: ReadonlyArray<readonly [what: string, next: Schema, why: RegExp]> = [
    ["the current number again", schema(3, { Account: 3, Bank: 1 }), /does not follow 3/],
    ["a number that skips one", schema(5, { Account: 3, Bank: 1 }), /does not follow 3/],
    ["no class", schema(4, {}), /no class/],
    ["a version that is none", schema(4, { Account: 3, Bank: 1, Clerk: 0 }), /version 0 of Clerk/],
    ["fewer classes", schema(4, { Account: 3 }), /leaves out Bank/],
    ["an earlier version", schema(4, { Account: 1, Bank: 2 }), /back from version 2 to 1/],
    ["nothing new", schema(4, { Bank: 1, Account: 2 }), /changes nothing/],
  ]

  it.each(refused)("is refused where it states %s", (_, next, why) => {
    expect(objection(next)).toMatch(why)
  })

  it.each(["client.c", "replica.r0", "operator.x", ""])("is refused where %j states it", (source) => {
    expect(objection(schema(4, { Account: 3, Bank: 1 }), source)).toMatch(/is not an operator/)
  })

  it("may state anything first: what was before only the replicas know, and they do not agree on it in the log", () => {
    const unstated = schema(0, { Account: 5 })
    const first = schema(1, { Account: 1 })
    expect(objectionToSchema(first, { source: OPERATOR, current: unstated })).toBeUndefined()
  })
})

describe("the same versions", () => {
  it("are of the same classes, in any order", () => {
    expect(isSameVersions(current.versions, new Map([...current.versions].toReversed()))).toBe(true)
    expect(isSameVersions(current.versions, new Map([["Account", 2]]))).toBe(false)
    expect(isSameVersions(current.versions, schema(3, { Account: 2, Bank: 2 }).versions)).toBe(false)
  })
})
