import { asBuffer, ByteReader, ByteWriter, ClientId, Malformed } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { understood } from "./forgery.ts"
import { wellFormed } from "./text.ts"

/** Something to write, and how to read it again. */
const item = fc.oneof(
  fc.nat(255).map((v) => ({ v, write: (w: ByteWriter) => w.byte(v), read: (r: ByteReader) => r.byte() })),
  fc.maxSafeNat().map((v) => ({
    v,
    write: (w: ByteWriter) => w.varint(v),
    read: (r: ByteReader) => r.varint(),
  })),
  fc.double().map((v) => ({
    v,
    write: (w: ByteWriter) => w.float64(v),
    read: (r: ByteReader) => r.float64(),
  })),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((v) => ({
    v,
    write: (w: ByteWriter) => w.uint64(v),
    read: (r: ByteReader) => r.uint64(),
  })),
  fc.maxSafeNat().map((v) => ({
    v,
    write: (w: ByteWriter) => w.natural64(v),
    read: (r: ByteReader) => Number(r.uint64()),
  })),
  wellFormed.map((v) => ({
    v,
    write: (w: ByteWriter) => w.string(v),
    read: (r: ByteReader) => r.string(),
  })),
  wellFormed.map((v) => ({
    v,
    write: (w: ByteWriter) => w.string(v),
    read: (r: ByteReader) => {
      r.cutTexts()
      return r.string()
    },
  })),
  fc.string({ maxLength: 80 }).map((v) => ({
    v,
    write: (w: ByteWriter) => w.ascii(v),
    read: (r: ByteReader) => r.ascii(v.length),
  })),
  fc.uint8Array({ maxLength: 80 }).map((v) => ({
    v,
    write: (w: ByteWriter) => w.bytes(v),
    read: (r: ByteReader) => Uint8Array.from(r.bytes()),
  })),
  fc.uint8Array({ maxLength: 80 }).map((v) => ({
    v,
    write: (w: ByteWriter) => w.raw(v),
    read: (r: ByteReader) => Uint8Array.from(r.raw(v.length)),
  })),
)

describe("what a ByteWriter wrote", () => {
  it("a ByteReader reads again, in the same order, to the last byte", () => {
    const law = fc.property(fc.array(item), fc.constantFrom(1, 7, 4096), (items, capacityBytes) => {
      const writer = new ByteWriter(capacityBytes)
      for (const { write } of items) write(writer)
      const reader = new ByteReader(writer.take())
      expect(items.map(({ read }) => read(reader))).toEqual(items.map(({ v }) => v))
      expect(reader.remaining).toBe(0)
      reader.end()
    })
    fc.assert(law, { numRuns: 500 })
  })

  it("is found at an offset of another buffer, and not beyond its end", () => {
    const law = fc.property(fc.uint8Array(), fc.uint8Array(), fc.uint8Array(), (before, bytes, after) => {
      const all = Uint8Array.from([...before, ...bytes, ...after])
      const view = all.subarray(before.length, before.length + bytes.length)
      expect(asBuffer(view)).toEqual(Buffer.from(bytes))
      const reader = new ByteReader(view)
      expect([...reader.raw(bytes.length)]).toEqual([...bytes])
      expect(() => reader.byte()).toThrow(/end too early/)
      expect(() => reader.raw(1)).toThrow(/end too early/)
    })
    fc.assert(law)
  })

  it("stays as it was taken, whatever is written next; a view does not", () => {
    const writer = new ByteWriter(8)
    writer.string("abc")
    const [taken, view] = [writer.take(), writer.view()]
    writer.reset()
    writer.string("xyz")
    expect([taken.toString(), view.toString()]).toEqual(["\u0003abc", "\u0003xyz"])
  })

  it("can be taken back, to any length that it had", () => {
    const writer = new ByteWriter(2)
    writer.ascii("keep")
    const { length } = writer
    writer.bytes(new Uint8Array(100))
    writer.truncate(length)
    writer.ascii("!")
    expect(writer.take().toString()).toBe("keep!")
  })
})

describe("a number of variable length", () => {
  it.for([
    [0, "00"],
    [127, "7f"],
    [128, "8001"],
    [2 ** 28, "8080808001"],
    [2 ** 31, "8080808008"],
    [2 ** 49, "8080808080808001"],
    [2 ** 53 - 1, "ffffffffffffff0f"],
  ] as const)("is written in as few bytes as it takes: %i is %s", ([value, hex]) => {
    const writer = new ByteWriter()
    writer.varint(value)
    expect(writer.take().toString("hex")).toBe(hex)
    expect(new ByteReader(Buffer.from(hex, "hex")).varint()).toBe(value)
  })

  it.for(["", "80", "8000", "ffffffffffffff10", "ffffffffffffff8001", "80808080808080808001"])(
    "is malformed when it is longer, larger or cut off: %s",
    (hex) => {
      expect(() => new ByteReader(Buffer.from(hex, "hex")).varint()).toThrow(Malformed)
    },
  )
})

describe("a ByteReader", () => {
  const reads: ReadonlyArray<(reader: ByteReader) => unknown> = [
    (reader) => reader.byte(),
    (reader) => reader.varint(),
    (reader) => reader.count(),
    (reader) => reader.float64(),
    (reader) => reader.uint64(),
    (reader) => reader.bytes(),
    (reader) => reader.string(),
    (reader) => reader.ascii(3),
    (reader) => reader.skip(2),
    (reader) => reader.name(ClientId),
  ]

  it("never reads beyond the end, and says nothing but Malformed, whatever the bytes", () => {
    const steps = fc.array(fc.nat(reads.length - 1), { minLength: 1, maxLength: 8 })
    const law = fc.property(fc.uint8Array({ maxLength: 32 }), steps, (bytes, which) => {
      const reader = new ByteReader(bytes)
      for (const step of which) {
        understood(() => reads[step]?.(reader))
        expect(reader.position + reader.remaining).toBe(bytes.length)
        expect(reader.remaining).toBeGreaterThanOrEqual(0)
      }
    })
    fc.assert(law, { numRuns: 2000 })
  })

  it("reads a text only if writing it gives the same bytes", () => {
    const law = fc.property(fc.uint8Array({ maxLength: 6 }), (bytes) => {
      const written = Buffer.from([bytes.length, ...bytes])
      const text = understood(() => new ByteReader(written).string())
      const writer = new ByteWriter()
      if (text !== undefined) writer.string(text)
      return text === undefined || writer.take().equals(written)
    })
    fc.assert(law, { numRuns: 2000 })
  })

  it("reads the shortest text that is not ASCII", () => {
    const writer = new ByteWriter()
    writer.string("\u0080")
    expect(writer.view().toString("hex")).toBe("02c280")
  })

  it("refuses a count that the bytes that follow cannot hold", () => {
    expect(new ByteReader(Uint8Array.of(2, 0, 0)).count()).toBe(2)
    expect(() => new ByteReader(Uint8Array.of(3, 0, 0)).count()).toThrow(/larger than the bytes that follow/)
  })

  it("says which name is none", () => {
    const reader = new ByteReader(Buffer.from("\u0003a.b"))
    expect(() => reader.name(ClientId)).toThrow(/^"a\.b" is no ClientId$/)
  })

  it("says how much follows where the end should be", () => {
    const reader = new ByteReader(new Uint8Array(5))
    reader.skip(3)
    expect(() => reader.end()).toThrow(/^2 bytes follow the end$/)
  })
})
