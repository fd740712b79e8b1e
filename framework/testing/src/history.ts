/**
 * One call of one client, as that client saw it: all that the black-box checker knows. A history is a list of them, in any
 * order. An operation that certainly did not take effect is left out of it.
 */
export interface Operation<Input = unknown, Output = unknown> {
  /** Who called. */
  readonly client: string
  /** The object that was called. Objects are independent of each other: each is judged by itself. */
  readonly key: string
  /** When the call was made, in any unit, by a clock that all clients share and that never goes back. */
  readonly call: number
  /**
   * When the call returned, by the same clock: not before `call`. Undefined: indeterminate, the caller never learned the
   * outcome; the operation may have taken effect at any time after its call, or never.
   */
  readonly return: number | undefined
  /** What was asked for, such as `["add", 2]`: a value that {@link valueText} can write. */
  readonly input: Input
  /** What was answered; undefined if, and only if, `return` is. A method without a result is `{ returned: undefined }`. */
  readonly output: Output | undefined
}

/**
 * The text of a history file: JSON lines, an operation each, in the order given; docs/history-format.md says more. Throws
 * TypeError for a value that the format cannot hold, and for an operation that {@link readHistory} would refuse.
 */
export function writeHistory(operations: ReadonlyArray<Operation>): string {
  return operations.map((operation, index) => `${line(operation, index)}\n`).join("")
}

/** The operations of a history file, in its order; empty lines are nothing. Throws {@link MalformedHistory}. */
export function readHistory(text: string): ReadonlyArray<Operation> {
  return text.split("\n").flatMap((json, index) => (json.trim() === "" ? [] : [operationOf(json, index + 1)]))
}

/** One value, one text: the JSON of a value in a history file, the keys of its objects sorted. Throws TypeError as {@link writeHistory}. */
export function valueText(value: unknown): string {
  return JSON.stringify(toJson(value))
}

/** A line that is not an operation of a history file, and what is wrong with it. */
export class MalformedHistory extends Error {
  readonly _tag = "MalformedHistory"
  override readonly name = "MalformedHistory"
  /** Counted from 1. */
  readonly line: number

  constructor(lineNumber: number, detail: string, options?: ErrorOptions) {
    super(`line ${lineNumber}: ${detail}`, options)
    this.line = lineNumber
  }
}

const FIELDS = ["client", "key", "call", "return", "input", "output"]
const DEPTH_MAX = 100
const TOO_DEEP = `nested deeper than ${DEPTH_MAX} levels, or containing itself`

type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

function line(operation: Operation, index: number): string {
  const { client, key, call, input, output } = operation
  try {
    requireOperation(operation)
    const fields = { client, key, call, return: operation.return ?? null }
    return JSON.stringify({ ...fields, input: toJson(input), output: toJson(output) })
  } catch (cause) {
    throw new TypeError(`operation ${index}: ${messageOf(cause)}`, { cause })
  }
}

function operationOf(json: string, lineNumber: number): Operation {
  try {
    const fields: unknown = JSON.parse(json)
    if (!isObject(fields)) throw new TypeError("an operation is an object")
    const missing = FIELDS.find((field) => !Object.hasOwn(fields, field))
    if (missing !== undefined) throw new TypeError(`the field ${missing} is missing`)
    const unknown = Object.keys(fields).find((field) => !FIELDS.includes(field))
    if (unknown !== undefined) throw new TypeError(`there is no field ${unknown}`)
    const operation = {
      client: fields["client"],
      key: fields["key"],
      call: fields["call"],
      return: fields["return"] === null ? undefined : fields["return"],
      input: fromJson(fields["input"]),
      output: fromJson(fields["output"]),
    }
    requireOperation(operation)
    return operation
  } catch (cause) {
    throw new MalformedHistory(lineNumber, messageOf(cause), { cause })
  }
}

/** Throws TypeError unless these fields are those of an operation, whatever its input and output are. */
export function requireOperation(fields: {
  readonly [Field in keyof Operation]: unknown
}): asserts fields is Operation {
  const { client, key, call, return: returned, output } = fields
  if (typeof client !== "string") throw new TypeError("client is not a text")
  if (typeof key !== "string") throw new TypeError("key is not a text")
  if (!isTime(call)) throw new TypeError("call is not a finite number")
  if ((returned === undefined) !== (output === undefined))
    throw new TypeError("return and output are known together, or neither is")
  if (returned === undefined) return
  if (!isTime(returned)) throw new TypeError("return is not a finite number")
  if (returned < call) throw new TypeError("return is before call")
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value)
}

function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

function toJson(value: unknown, depth = 0): Json {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $number: Object.is(value, -0) ? "-0" : String(value) }
    case "bigint":
      return { $bigint: String(value) }
    case "undefined":
      return { $undefined: true }
    case "object":
      return value === null ? null : containerToJson(value, depth + 1)
    default:
      throw new TypeError(`a history cannot hold a ${typeof value}`)
  }
}

function containerToJson(value: object, depth: number): Json {
  if (depth > DEPTH_MAX) throw new TypeError(TOO_DEEP)
  const items = (all: Iterable<unknown>): ReadonlyArray<Json> =>
    Array.from(all, (item) => toJson(item, depth))
  if (Array.isArray(value)) return items(value)
  if (value instanceof Map) return { $map: Array.from(value, items) }
  if (value instanceof Set) return { $set: items(value) }
  if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? null : value.toISOString() }
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null)
    throw new TypeError("a history cannot hold an instance of a class")
  const keys = Object.keys(value).toSorted()
  return Object.fromEntries(
    keys.map((key) => [key.startsWith("$") ? `$${key}` : key, toJson(Reflect.get(value, key), depth)]),
  )
}

function fromJson(json: unknown, depth = 0): unknown {
  if (depth > 2 * DEPTH_MAX) throw new TypeError(TOO_DEEP)
  if (Array.isArray(json)) return json.map((item) => fromJson(item, depth + 1))
  if (!isObject(json)) return json
  const keys = Object.keys(json)
  const tag = keys.find((key) => key.startsWith("$") && !key.startsWith("$$"))
  if (tag === undefined)
    return Object.fromEntries(
      keys.map((key) => [key.startsWith("$") ? key.slice(1) : key, fromJson(json[key], depth + 1)]),
    )
  if (keys.length > 1) throw new TypeError(`${tag} stands beside other keys`)
  return tagged(tag, json[tag], depth + 1)
}

function tagged(tag: string, content: unknown, depth: number): unknown {
  const malformed = new TypeError(`${JSON.stringify(content)} is no content of ${tag}`)
  switch (tag) {
    case "$undefined":
      if (content !== true) throw malformed
      return undefined
    case "$number":
      if (content === "-0") return -0
      if (content !== "NaN" && content !== "Infinity" && content !== "-Infinity") throw malformed
      return Number(content)
    case "$bigint":
      if (typeof content !== "string" || !/^(0|-?[1-9]\d*)$/.test(content)) throw malformed
      return BigInt(content)
    case "$date":
      return dateOf(content, malformed)
    case "$bytes":
      return bytesOf(content, malformed)
    case "$set":
      if (!Array.isArray(content)) throw malformed
      return new Set(content.map((item) => fromJson(item, depth)))
    case "$map":
      if (!Array.isArray(content)) throw malformed
      return new Map(content.map((pair) => pairOf(pair, depth, malformed)))
    default:
      throw new TypeError(`there is no tag ${tag}`)
  }
}

function dateOf(content: unknown, malformed: TypeError): Date {
  if (content === null) return new Date(Number.NaN)
  const date = new Date(typeof content === "string" ? content : Number.NaN)
  if (Number.isNaN(date.getTime()) || date.toISOString() !== content) throw malformed
  return date
}

function bytesOf(content: unknown, malformed: TypeError): Uint8Array {
  if (typeof content !== "string") throw malformed
  const bytes = new Uint8Array(Buffer.from(content, "base64"))
  if (Buffer.from(bytes).toString("base64") !== content) throw malformed
  return bytes
}

function pairOf(pair: unknown, depth: number, malformed: TypeError): [unknown, unknown] {
  if (!Array.isArray(pair) || pair.length !== 2) throw malformed
  return [fromJson(pair[0], depth), fromJson(pair[1], depth)]
}
