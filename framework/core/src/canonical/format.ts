/**
 * What has canonical bytes: undefined, null, boolean, number, bigint, string, Uint8Array, Date, Array, Map, Set and plain
 * objects.
 */
export type Canonical =
  | undefined
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Date
  | ReadonlyArray<Canonical>
  | ReadonlyMap<Canonical, Canonical>
  | ReadonlySet<Canonical>
  | { readonly [key: string]: Canonical }

/** The first byte of a value. Part of the format: never renumber. */
export const Tag = {
  Null: 0,
  Undefined: 1,
  False: 2,
  True: 3,
  Natural: 4,
  Negative: 5,
  Float: 6,
  BigNatural: 7,
  BigNegative: 8,
  BigPositiveBytes: 9,
  BigNegativeBytes: 10,
  String: 11,
  IllFormedString: 12,
  Bytes: 13,
  Date: 14,
  Array: 15,
  Object: 16,
  Map: 17,
  Set: 18,
} as const

/** A `"value"` is what others get a copy of. A `"state"` goes on living: after recovery it must behave as before. */
export type Purpose = "value" | "state"

/** How deep values may nest; a cycle is deeper than any limit. */
export const DEPTH_MAX = 64
/** A bigint above it, or below its negative, is written as bytes. */
export const BIG_MAX = BigInt(Number.MAX_SAFE_INTEGER)
