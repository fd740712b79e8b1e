import { ClientId, Epoch, GroupName, Partition, ReplicaId, SessionId } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, expectTypeOf, it } from "vitest"
import { character } from "./text.ts"

const names = { GroupName, ReplicaId, ClientId }
const numbers = { Partition, SessionId, Epoch }

describe.for(Object.entries(names))("a %s", ([, make]) => {
  it("is a token of a NATS subject, and stays the text that it was", () => {
    const law = fc.property(fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/), (text) => make(text) === text)
    fc.assert(law)
  })

  it("is no text with any other character, which would change where a message goes", () => {
    const token = fc.stringMatching(/^[A-Za-z0-9_-]{0,20}$/)
    const wrong = character.filter((one) => !/[A-Za-z0-9_-]/.test(one))
    const law = fc.property(token, wrong, token, (head, one, tail) => {
      expect(() => make(`${head}${one}${tail}`)).toThrow(/must be 1 to 64 letters, digits, "-" or "_"/)
    })
    fc.assert(law)
    for (const text of ["", "a.b", "*", ">", "a b", "a\n", "x".repeat(65)])
      expect(() => make(text)).toThrow(TypeError)
  })

  it("is not what only reads like a name", () => {
    for (const value of [undefined, null, 7, true, ["a"]])
      expect(() => make(value as never)).toThrow(TypeError)
  })
})

describe.for(Object.entries(numbers))("a number that is a %s", ([, make]) => {
  it("is whole and not negative", () => {
    const law = fc.property(fc.maxSafeNat(), (value) => make(value) === value)
    fc.assert(law)
    for (const value of [-1, 0.5, NaN, Infinity, 2 ** 53, "1", 1n, undefined])
      expect(() => make(value as never)).toThrow(/must be a whole number that is not negative/)
  })
})

describe("ids", () => {
  it("of one kind are not accepted where another is wanted", () => {
    expectTypeOf<ReplicaId>().not.toExtend<ClientId>()
    expectTypeOf<SessionId>().not.toExtend<Partition>()
    expectTypeOf<string>().not.toExtend<GroupName>()
    expectTypeOf<number>().not.toExtend<Epoch>()
    expectTypeOf<ReplicaId>().toExtend<string>()
  })
})
