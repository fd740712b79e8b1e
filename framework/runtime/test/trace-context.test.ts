import {
  type Baggage,
  baggageEntryMetadataFromString,
  type Context,
  createTraceState,
  propagation,
  ROOT_CONTEXT,
  trace,
} from "@opentelemetry/api"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  BAGGAGE_ENTRIES_MAX,
  BAGGAGE_LENGTH_MAX,
  baggageText,
  checkBaggage,
} from "../src/telemetry/baggage.ts"
import { contextOf, traceOf } from "../src/telemetry/traceparent.ts"

const SPAN = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", traceFlags: 1 }
const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

const stateIn = (context: Context | undefined) =>
  context && trace.getSpanContext(context)?.traceState?.serialize()
const entriesIn = (context: Context | undefined) =>
  context &&
  Object.fromEntries(
    propagation
      .getBaggage(context)
      ?.getAllEntries()
      .map(([name, { value }]) => [name, value]) ?? [],
  )
const withEntries = (entries: Readonly<Record<string, string>>): Context => {
  const values = Object.entries(entries).map(([name, value]) => [name, { value }])
  const baggage: Baggage = propagation.createBaggage(Object.fromEntries(values))
  return propagation.setBaggage(ROOT_CONTEXT, baggage)
}
/** What a caller sends of a span with this state and baggage. */
const sent = (tracestate: string | undefined, baggage: string) => {
  const state = tracestate === undefined ? {} : { traceState: createTraceState(tracestate) }
  return traceOf(trace.wrapSpanContext({ ...SPAN, ...state }), baggage) ?? ""
}

const names = fc.string({
  unit: fc.constantFrom(...Array.from("abcXYZ019!#$%&'*+-.^_`|~")),
  minLength: 1,
  maxLength: 20,
})
const values = fc.string({ unit: "grapheme", maxLength: 40 })

describe("what travels with a call", () => {
  it("is its traceparent alone, where there is nothing else to say", () => {
    expect(sent(undefined, "")).toBe(TRACEPARENT)
    expect(sent("", "")).toBe(TRACEPARENT)
  })

  it("arrives: tracestate unread, baggage entry by entry", () => {
    const members = fc.array(
      fc.tuple(
        fc.stringMatching(/^[a-z][a-z0-9_*/-]{0,10}$/),
        fc.stringMatching(/^[!-+\--<>-~]{1,10}$/).filter((value) => !value.includes("=")),
      ),
      { maxLength: 20 },
    )
    fc.assert(
      fc.property(members, fc.dictionary(names, values, { maxKeys: 10 }), (state, entries) => {
        const tracestate = createTraceState(state.map((member) => member.join("=")).join(",")).serialize()
        const context = contextOf(sent(tracestate, baggageText(withEntries(entries), Object.keys(entries))))
        expect(stateIn(context) ?? "").toBe(tracestate)
        expect(entriesIn(context)).toEqual(entries)
        expect(context && trace.getSpanContext(context)).toMatchObject({ ...SPAN, isRemote: true })
      }),
    )
  })

  it("is never more than its bounds, and a traceparent arrives in any case", () => {
    const long = fc.dictionary(names, fc.string({ unit: "grapheme", minLength: 200, maxLength: 2000 }), {
      minKeys: 5,
      maxKeys: 20,
    })
    fc.assert(
      fc.property(long, (entries) => {
        const text = baggageText(withEntries(entries), Object.keys(entries))
        expect(text.length).toBeLessThanOrEqual(BAGGAGE_LENGTH_MAX)
        const context = contextOf(sent("vendor=1", text))
        expect(stateIn(context)).toBe("vendor=1")
        expect(entries).toMatchObject(entriesIn(context) ?? {})
      }),
    )
  })

  it("leaves out whole entries that do not fit, the last ones first", () => {
    const entries = { a: "x".repeat(8000), b: "y".repeat(300), c: "z" }
    expect(entriesIn(contextOf(sent(undefined, baggageText(withEntries(entries), ["a", "b", "c"]))))).toEqual(
      { a: entries.a, c: "z" },
    )
  })

  it.each([`a=${"b".repeat(600)}`, "a=1\nb=2", "a=é"])(
    "leaves a tracestate behind that is none, whoever made it: %j",
    (text) => {
      const traceState = { ...createTraceState(), serialize: () => text }
      expect(traceOf(trace.wrapSpanContext({ ...SPAN, traceState }))).toBe(TRACEPARENT)
    },
  )

  it("has the entries that are named, and no others", () => {
    const context = withEntries({ tenant: "acme", password: "secret" })
    expect(baggageText(context, ["tenant", "region"])).toBe("tenant=acme")
    expect(baggageText(context, [])).toBe("")
  })

  it("keeps what is said of an entry", () => {
    const metadata = baggageEntryMetadataFromString("ttl=60")
    const baggage = propagation.createBaggage({ tenant: { value: "a,b", metadata } })
    const text = baggageText(propagation.setBaggage(ROOT_CONTEXT, baggage), ["tenant"])
    expect(text).toBe("tenant=a%2Cb;ttl=60")
    const context = contextOf(sent(undefined, text))
    const entry = context && propagation.getBaggage(context)?.getEntry("tenant")
    expect(String(entry?.metadata)).toBe("ttl=60")
  })

  it.each([
    ["a tracestate that is none", `${TRACEPARENT}\nnothing of the kind`],
    ["a tracestate that is too long", `${TRACEPARENT}\na=${"b".repeat(600)}`],
    ["a tracestate of other characters", `${TRACEPARENT}\na=é`],
    ["baggage without a value", `${TRACEPARENT}\n\ntenant`],
    ["baggage that is badly encoded", `${TRACEPARENT}\n\ntenant=%ff`],
    ["baggage that is too long", `${TRACEPARENT}\n\ntenant=${"x".repeat(BAGGAGE_LENGTH_MAX)}`],
    [
      "baggage of too many entries",
      `${TRACEPARENT}\n\n${Array.from({ length: BAGGAGE_ENTRIES_MAX + 1 }, (_, i) => `e${i}=1`).join(",")}`,
    ],
  ])("is taken without %s", (_, text) => {
    const context = contextOf(text)
    expect(context && trace.getSpanContext(context)).toMatchObject(SPAN)
    expect([stateIn(context), entriesIn(context)]).toEqual([undefined, {}])
  })

  it("is nothing where it is something else, whatever that is", () => {
    const damaged = fc.tuple(fc.nat(200), fc.string()).map(([at, text]) => {
      const whole = `${TRACEPARENT}\nvendor=1,other=2\ntenant=acme,region=eu`
      return whole.slice(0, at) + text + whole.slice(at + text.length)
    })
    fc.assert(fc.property(fc.oneof(fc.string(), damaged), (text) => void contextOf(text)))
    expect(contextOf(`${TRACEPARENT}\n\n\nmore`)).toBeUndefined()
    expect(contextOf(`${TRACEPARENT}\n\n${"x".repeat(100_000)}`)).toBeUndefined()
  })
})

describe("names of baggage entries", () => {
  it.each([["two words"], [""], ["naïve"], ["a=b"], ["a,b"]])(
    "are refused where they are none: %j",
    (name) => {
      expect(() => checkBaggage(["tenant", name])).toThrow(TypeError)
    },
  )

  it("are not more than may travel", () => {
    const many = Array.from({ length: BAGGAGE_ENTRIES_MAX + 1 }, (_, i) => `e${i}`)
    expect(() => checkBaggage(many)).toThrow("at most 64")
  })
})
