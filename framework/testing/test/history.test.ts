import { readFileSync } from "node:fs"
import { isDeepStrictEqual } from "node:util"
import {
  bankModel,
  checkLinearizability,
  MalformedHistory,
  type Operation,
  readHistory,
  valueText,
  writeHistory,
} from "@lockstep/testing"
import fc from "fast-check"
import { describe, expect, it } from "vitest"

const key = fc.oneof(fc.string(), fc.constantFrom("$bigint", "$$", "$", "__proto__", "constructor", "7"))

/** Whatever a history can hold. */
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(undefined, null, true, false, -0, NaN, Infinity, -Infinity),
    fc.double(),
    fc.bigInt(),
    fc.string({ unit: "binary" }),
    fc.date({ noInvalidDate: false }),
    fc.uint8Array(),
    fc.array(tie("value")),
    fc.dictionary(key, tie("value"), { noNullPrototype: true }),
    fc.array(fc.tuple(tie("value"), tie("value"))).map((entries) => new Map(entries)),
    fc.array(tie("value")).map((items) => new Set(items)),
  ),
}))

/** JSON has no −0. */
const time = fc.double({ noNaN: true, noDefaultInfinity: true }).map((at) => at + 0)

const operation: fc.Arbitrary<Operation> = fc
  .record({
    client: fc.string(),
    key: fc.string(),
    a: time,
    b: time,
    isLost: fc.boolean(),
    input: value,
    output: value,
  })
  .map(({ client, key: of, a, b, isLost, input, output }) => {
    const isKnown = !isLost && output !== undefined
    return {
      client,
      key: of,
      call: Math.min(a, b),
      return: isKnown ? Math.max(a, b) : undefined,
      input,
      output: isKnown ? output : undefined,
    }
  })

const add: Operation = {
  client: "c1",
  key: "k",
  call: 1,
  return: 2.5,
  input: ["add", 1],
  output: { returned: 3 },
}
const addLine = `{"client":"c1","key":"k","call":1,"return":2.5,"input":["add",1],"output":{"returned":3}}`

describe("a history file", () => {
  it("gives back the operations that were written, in their order", () => {
    fc.assert(
      fc.property(fc.array(operation), (operations) =>
        isDeepStrictEqual(readHistory(writeHistory(operations)), operations),
      ),
    )
  })

  it("has a line for each operation", () => {
    const lost = { ...add, return: undefined, output: undefined }
    expect(writeHistory([add, lost])).toBe(
      `${addLine}\n{"client":"c1","key":"k","call":1,"return":null,"input":["add",1],"output":{"$undefined":true}}\n`,
    )
    expect(writeHistory([])).toBe("")
  })

  it("may have empty lines, spaces, and its fields in any order", () => {
    const other = `{"output":{"returned":3},"input":["add",1],"return":2.5,"call":1,"key":"k","client":"c1"}`
    expect(readHistory(`\n${addLine}\r\n  \n ${other} `)).toEqual([add, add])
  })

  it("is as the documentation shows it", () => {
    const page = readFileSync(new URL("../../../docs/history-format.md", import.meta.url), "utf8")
    const [, example = ""] = /```json\n([^`]+)```/.exec(page) ?? []
    const operations = readHistory(example)
    expect(writeHistory(operations)).toBe(example)
    expect(checkLinearizability(operations, bankModel)).toMatchObject({ _tag: "Linearizable", operations: 3 })
  })

  it.each([
    ["not JSON", `{"client":`, "JSON"],
    ["no object", `["c1","k"]`, "an operation is an object"],
    ["a field too few", addLine.replace(`"key":"k",`, ""), "the field key is missing"],
    ["a field too many", addLine.replace(`"key"`, `"id":1,"key"`), "there is no field id"],
    ["a client that is no text", addLine.replace(`"c1"`, "1"), "client is not a text"],
    ["a key that is no text", addLine.replace(`"k"`, "null"), "key is not a text"],
    ["no time of the call", addLine.replace(`"call":1`, `"call":null`), "call is not a finite number"],
    ["a time out of range", addLine.replace("2.5", "1e999"), "return is not a finite number"],
    ["a return before its call", addLine.replace("2.5", "0"), "return is before call"],
    ["an output without a return", addLine.replace("2.5", "null"), "known together"],
    [
      "a return without an output",
      addLine.replace(`{"returned":3}`, `{"$undefined":true}`),
      "known together",
    ],
    ["an unknown tag", addLine.replace("returned", "$regexp"), "there is no tag $regexp"],
    ["a tag beside other keys", addLine.replace("3", `3,"$set":[]`), "$set stands beside other keys"],
  ])("with %s is refused, and the line is named", (_, line, detail) => {
    const reading = (): unknown => readHistory(`${addLine}\n\n${line}\n`)
    expect(reading).toThrow(MalformedHistory)
    expect(reading).toThrow(/^line 3: /)
    expect(reading).toThrow(detail)
  })

  it("is not written with what could not be read again", () => {
    expect(() => writeHistory([add, { ...add, return: 0 }])).toThrow("operation 1: return is before call")
    expect(() => writeHistory([{ ...add, input: [() => 1] }])).toThrow(
      "operation 0: a history cannot hold a function",
    )
    expect(() => writeHistory([{ ...add, input: new Error("?") }])).toThrow("an instance of a class")
    const cyclic: Array<unknown> = []
    cyclic.push(cyclic)
    expect(() => writeHistory([{ ...add, input: cyclic }])).toThrow("nested deeper than 100 levels")
  })
})

describe("a value in a history file", () => {
  it.each([
    ["a bigint", -12n, `{"$bigint":"-12"}`],
    ["undefined", undefined, `{"$undefined":true}`],
    ["no number", Number.NaN, `{"$number":"NaN"}`],
    ["minus zero", -0, `{"$number":"-0"}`],
    ["infinity", -Infinity, `{"$number":"-Infinity"}`],
    ["a date", new Date(0), `{"$date":"1970-01-01T00:00:00.000Z"}`],
    ["an invalid date", new Date(Number.NaN), `{"$date":null}`],
    ["bytes", Uint8Array.of(0, 255), `{"$bytes":"AP8="}`],
    ["a map", new Map([[1n, new Set(["a"])]]), `{"$map":[[{"$bigint":"1"},{"$set":["a"]}]]}`],
    ["an object with a tag's key", { $bigint: "12" }, `{"$$bigint":"12"}`],
    ["an object with an escaped key", { $$x: 1, y: 2 }, `{"$$$x":1,"y":2}`],
    ["half a surrogate pair", "\ud800", String.raw`"\ud800"`],
  ])("is, of %s, as documented", (_, of, text) => {
    expect(valueText(of)).toBe(text)
    expect(readHistory(addLine.replace(`["add",1]`, text.replaceAll("$", "$$$$")))[0]?.input).toEqual(of)
  })

  it("does not depend on the order in which an object got its keys", () => {
    expect(valueText({ b: 1, a: 2 })).toBe(valueText({ a: 2, b: 1 }))
    expect(valueText(new Map([["b", 1]]))).not.toBe(valueText({ b: 1 }))
  })

  it.each([
    `{"$undefined":false}`,
    `{"$number":"1"}`,
    `{"$bigint":"01"}`,
    `{"$bigint":12}`,
    `{"$date":"yesterday"}`,
    `{"$date":"1970-01-01"}`,
    `{"$bytes":"?"}`,
    `{"$set":{}}`,
    `{"$map":[[1]]}`,
  ])("is refused if it is malformed, such as %s", (text) => {
    expect(() => readHistory(addLine.replace("1]", () => `${text}]`))).toThrow(/no content of/)
  })
})
