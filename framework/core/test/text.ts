import fc from "fast-check"

/** One character of Unicode, of any plane. (fast-check's own unit for it takes a second to prepare.) */
export const character: fc.Arbitrary<string> = fc
  .oneof(
    { weight: 3, arbitrary: fc.integer({ min: 0x20, max: 0x7e }) },
    { weight: 1, arbitrary: fc.nat(0xd7ff) },
    { weight: 1, arbitrary: fc.integer({ min: 0xe000, max: 0x10ffff }) },
  )
  .map((point) => String.fromCodePoint(point))

/** A text that has UTF-8. Some are longer than what is written by a loop (32 characters). */
export const wellFormed: fc.Arbitrary<string> = fc.oneof(
  { weight: 8, arbitrary: fc.string({ unit: character, maxLength: 40 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "",
      "\u0080",
      "\uFFFD",
      "\uFEFF",
      "é".repeat(31),
      "x".repeat(31),
      "x".repeat(32),
    ),
  },
)

/** Any text that JavaScript can hold, also with halves of surrogate pairs. */
export const text: fc.Arbitrary<string> = fc.oneof(
  { weight: 2, arbitrary: wellFormed },
  {
    weight: 1,
    arbitrary: fc.array(fc.nat(0xffff), { maxLength: 6 }).map((units) => String.fromCharCode(...units)),
  },
  { weight: 1, arbitrary: fc.constantFrom("\uD800", "a\uDC00", "\uDC00\uD800") },
)
