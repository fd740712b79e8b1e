import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { registeredMeter } from "../src/telemetry/instruments.ts"
import { METRICS, REPLICA_STATES } from "../src/telemetry/metrics.ts"
import { ATTRIBUTES, EVENTS, SPANS } from "../src/telemetry/names.ts"
import { contextOf, traceparentOf } from "../src/telemetry/traceparent.ts"
import { trace } from "@opentelemetry/api"

const page = readFileSync(new URL("../../../docs/telemetry.md", import.meta.url), "utf8")

/** The cells of the table in a section of the page. */
function rowsOf(section: string): ReadonlyArray<ReadonlyArray<string>> {
  const [, ...after] = page.split(`\n## ${section}\n`)
  const [text = ""] = after.join().split("\n## ")
  return [...text.matchAll(/^\| (`.*) \|$/gm)].map(([, row = ""]) =>
    row.split("|").map((cell) => cell.trim()),
  )
}

describe("docs/telemetry.md", () => {
  it("lists every attribute, and no other", () => {
    const listed = rowsOf("Attributes").map(([name]) => name)
    expect(listed).toEqual(Object.values(ATTRIBUTES).map((name) => `\`${name}\``))
  })

  it("lists every log record, and no other", () => {
    expect(rowsOf("Log records").map(([name]) => name)).toEqual(
      Object.values(EVENTS).map((name) => `\`${name}\``),
    )
  })

  it("lists every metric as it is, and no other", () => {
    const metrics = Object.values(METRICS).map(({ name, kind, unit, attributes, meaning }) => [
      `\`${name}\``,
      kind,
      `\`${unit}\``,
      attributes.map((attribute) => `\`${attribute}\``).join(" "),
      meaning,
    ])
    expect(rowsOf("Metrics")).toEqual(metrics)
  })

  it("names every state of a replica", () => {
    const [, , meaning = ""] = rowsOf("Attributes").find(([name]) => name === "`lockstep.state`") ?? []
    expect([...meaning.matchAll(/`([a-z-]+)`/g)].map(([, state]) => state)).toEqual([...REPLICA_STATES])
  })

  it("shows every kind of span", () => {
    for (const name of [
      SPANS.replay,
      SPANS.replicate,
      SPANS.failover,
      SPANS.send("ask.bank.0"),
      SPANS.process("ask.bank.0"),
      SPANS.send("cmd.bank.0"),
      SPANS.process("cmd.bank.0"),
      SPANS.call("bank/Account", "deposit"),
      SPANS.apply("bank/Account", "deposit"),
      SPANS.vote("bank/Account", "deposit"),
    ])
      expect(page).toContain(name)
  })
})

describe("a program that has registered nobody who measures", () => {
  it("makes no instrument", () => {
    expect(registeredMeter()).toBeUndefined()
  })
})

describe("a traceparent", () => {
  const text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  it("names the context that it was made of", () => {
    const context = contextOf(text)
    expect(context && traceparentOf(trace.getSpan(context))).toBe(text)
  })

  it.each([
    "",
    "call 7",
    "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
  ])("is none where it is malformed: %j", (malformed) => {
    expect(contextOf(malformed)).toBeUndefined()
  })
})
