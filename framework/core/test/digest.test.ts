import { createHash } from "node:crypto"
import { digest, DIGEST_LENGTH } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { wellFormed } from "./text.ts"

describe("a digest", () => {
  it("is the SHA-256 of FIPS 180-4, in lower-case hexadecimal", () => {
    expect(digest("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    expect(digest("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  })

  it("of a text is that of its UTF-8, and of a view that of the bytes it shows", () => {
    const law = fc.property(wellFormed, fc.uint8Array(), (text, more) => {
      const bytes = Buffer.from(text)
      const view = Buffer.concat([more, bytes, more]).subarray(more.length, more.length + bytes.length)
      const known = createHash("sha256").update(bytes).digest("hex")
      expect([digest(text), digest(bytes), digest(view)]).toEqual([known, known, known])
      expect(known).toHaveLength(DIGEST_LENGTH)
    })
    fc.assert(law)
  })
})
