import { Malformed } from "@lockstep/core"
import fc from "fast-check"

/** Bytes that nobody wrote: made up, or genuine ones that were cut off, lengthened, put together or changed in places. */
export function forged(genuine: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const some = fc.uint8Array({ minLength: 1, maxLength: 8 })
  const at = fc.nat().map((position) => (bytes: Uint8Array) => position % (bytes.length + 1))
  return fc.oneof(
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }) },
    { weight: 4, arbitrary: fc.tuple(genuine, fc.nat()).map(([bytes, bit]) => flip(bytes, bit)) },
    { weight: 2, arbitrary: fc.tuple(genuine, at).map(([bytes, cut]) => bytes.subarray(0, cut(bytes))) },
    { weight: 1, arbitrary: fc.tuple(genuine, some).map(([bytes, more]) => Buffer.concat([bytes, more])) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(genuine, some, at)
        .map(([bytes, more, cut]) =>
          Buffer.concat([bytes.subarray(0, cut(bytes)), more, bytes.subarray(cut(bytes))]),
        ),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(genuine, genuine, at)
        .map(([head, tail, cut]) => Buffer.concat([head.subarray(0, cut(head)), tail.subarray(cut(head))])),
    },
  )
}

/** The same bytes with one bit changed. */
export function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = Uint8Array.from(bytes)
  const index = (bit >> 3) % Math.max(1, bytes.length)
  if (bytes.length > 0) flipped[index] = (flipped[index] ?? 0) ^ (1 << (bit & 7))
  return flipped
}

/** What was read, or undefined where it was malformed. Any other error is a bug, and fails the test. */
export function understood<Value>(read: () => Value): Value | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}
