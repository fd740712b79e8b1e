import { spawnSync } from "node:child_process"
import nodeCrypto, { createHash, randomBytes, randomUUID } from "node:crypto"
import os, { hostname } from "node:os"
import { performance as nodePerformance } from "node:perf_hooks"
import timers, { setTimeout as nodeTimeout } from "node:timers"
import { promisify } from "node:util"
import { guard, Nondeterminism } from "@lockstep/actor"
import { beforeAll, beforeEach, describe, expect, it } from "vitest"

let guarded: PropertyDescriptor = {}

beforeAll(() => {
  guard.install()
  guarded = Object.getOwnPropertyDescriptor(process, "nextTick") ?? {}
})
// vitest puts its own in place whenever it reports; where it reports twice in one turn, that one stays (seen on a busy machine)
beforeEach(() => {
  Object.defineProperty(process, "nextTick", guarded)
})

const date = new Date(Date.UTC(2020, 5, 1, 12))
const en = new Intl.NumberFormat("en")

/** What a command may not call, and how it is called. All of it works outside of a command. */
const forbidden: ReadonlyArray<readonly [call: string, run: () => unknown]> = [
  // clocks
  ["Date.now", () => Date.now()],
  ["new Date()", () => new Date()],
  ["new Date()", () => new (class Day extends Date {})()],
  ["Date()", () => (Date as unknown as () => string)()],
  ["performance.now", () => performance.now()],
  ["performance.now", () => nodePerformance.now()],
  ["performance.timeOrigin", () => performance.timeOrigin],
  ["performance.mark", () => performance.mark("a")],
  ["process.hrtime", () => process.hrtime()],
  ["process.hrtime.bigint", () => process.hrtime.bigint()],
  ["process.uptime", () => process.uptime()],
  // chance
  ["Math.random", () => Math.random()],
  ["crypto.getRandomValues", () => crypto.getRandomValues(new Uint8Array(1))],
  ["crypto.getRandomValues", () => nodeCrypto.webcrypto.getRandomValues(new Uint8Array(1))],
  ["crypto.getRandomValues", () => nodeCrypto.getRandomValues(new Uint8Array(1))],
  ["crypto.randomUUID", () => crypto.randomUUID()],
  ["crypto.randomUUID", () => randomUUID()],
  ["crypto.randomBytes", () => randomBytes(1)],
  ["crypto.pseudoRandomBytes", () => nodeCrypto.pseudoRandomBytes(1)],
  ["crypto.randomInt", () => nodeCrypto.randomInt(2)],
  ["crypto.randomFillSync", () => nodeCrypto.randomFillSync(new Uint8Array(1))],
  ["crypto.generateKeyPairSync", () => nodeCrypto.generateKeyPairSync("ed25519")],
  ["crypto.generateKeySync", () => nodeCrypto.generateKeySync("hmac", { length: 64 })],
  ["crypto.generatePrimeSync", () => nodeCrypto.generatePrimeSync(16)],
  ["crypto.subtle", () => crypto.subtle],
  // later, and the outside
  ["setTimeout", () => clearTimeout(setTimeout(() => 0))],
  ["setInterval", () => clearInterval(setInterval(() => 0))],
  ["setImmediate", () => clearImmediate(setImmediate(() => 0))],
  ["timers.setTimeout", () => clearTimeout(nodeTimeout(() => 0))],
  ["timers.setInterval", () => clearInterval(timers.setInterval(() => 0))],
  ["queueMicrotask", () => queueMicrotask(() => 0)],
  ["process.nextTick", () => process.nextTick(() => 0)],
  ["AbortSignal.timeout", () => AbortSignal.timeout(1)],
  ["Atomics.wait", () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0)],
  ["fetch", () => fetch("data:,x")],
  // the machine
  ["process.pid", () => process.pid],
  ["process.memoryUsage", () => process.memoryUsage()],
  ["process.memoryUsage.rss", () => process.memoryUsage.rss()],
  ["process.cpuUsage", () => process.cpuUsage()],
  ["os.hostname", () => hostname()],
  ["os.cpus", () => os.cpus()],
  ["WeakRef.deref", () => new WeakRef(date).deref()],
  ["FinalizationRegistry.register", () => new FinalizationRegistry(() => 0).register({}, 0)],
  // its time zone
  ["new Date(local time)", () => new Date(2020, 1, 1)],
  ["new Date(local time)", () => new Date("2020-01-01T10:00")],
  ["new Date(local time)", () => new Date("January 1, 2020")],
  ["new Date(local time)", () => new Date("01-01-2020")],
  ["new Date(local time)", () => new Date("20201")],
  ["Date.parse", () => Date.parse("2020-01-01 10:00")],
  ["Date.getHours", () => date.getHours()],
  ["Date.setMonth", () => new Date(0).setMonth(1)],
  ["Date.getTimezoneOffset", () => date.getTimezoneOffset()],
  ["Date.toString", () => `${date}`], // oxlint-disable-line typescript/restrict-template-expressions
  ["Date.toString", () => (date as unknown as string) + "x"], // oxlint-disable-line prefer-template
  ["Date.toDateString", () => date.toDateString()],
  ["Date.toLocaleString", () => date.toLocaleString("en")],
  ["Date.toLocaleDateString", () => date.toLocaleDateString("en", { timeZone: undefined })],
  ["Date.toLocaleTimeString", () => date.toLocaleTimeString([], { timeZone: "UTC" })],
  ["Intl.DateTimeFormat", () => new Intl.DateTimeFormat("en")],
  ["Intl.DateTimeFormat", () => Intl.DateTimeFormat(undefined, { timeZone: "UTC" })],
  // its language
  ["Number.toLocaleString", () => (1.5).toLocaleString()],
  ["Number.toLocaleString", () => (1.5).toLocaleString("xx")], // nobody's language: Intl takes the machine's
  ["Number.toLocaleString", () => new Float64Array([1.5]).toLocaleString()],
  ["BigInt.toLocaleString", () => 1n.toLocaleString([])],
  ["Array.toLocaleString", () => [1.5].toLocaleString()],
  ["String.toLocaleUpperCase", () => "i".toLocaleUpperCase()],
  ["String.localeCompare", () => "a".localeCompare("b")],
  ["String.localeCompare", () => "a".localeCompare("b", "xx")],
  ["Intl.NumberFormat", () => new Intl.NumberFormat()],
  ["Intl.Collator", () => new Intl.Collator(undefined, { numeric: true })],
  ["Intl.PluralRules", () => new Intl.PluralRules()],
  ["Intl.ListFormat", () => new Intl.ListFormat()],
  ["Intl.RelativeTimeFormat", () => new Intl.RelativeTimeFormat()],
  ["Intl.Segmenter", () => new Intl.Segmenter()],
  ["Intl.DisplayNames", () => new Intl.DisplayNames([], { type: "region" })],
]

describe("during a command", () => {
  it.each(forbidden)("%s is refused, and says what called it, where", (call, run) => {
    const { thrown, violation } = during(run)
    expect(thrown).toBeInstanceOf(Nondeterminism)
    expect(thrown).toBe(violation)
    expect(violation?.call).toBe(call)
    expect(violation?.message).toMatch(
      /^bank\/Account\("alice"\)\.deposit at 7 called \S.*, which differs .*: \S/,
    )
  })

  it("an error that the command swallowed is told nevertheless, the first one of several", () => {
    const { thrown, violation } = during(() => {
      for (const run of [() => Math.random(), () => Date.now()]) {
        try {
          run()
        } catch {
          // as a command might
        }
      }
    })
    expect(thrown).toBeUndefined()
    expect(violation?.call).toBe("Math.random")
  })

  it.each<readonly [string, () => unknown, unknown]>([
    ["a date of a number", () => new Date(5).getTime(), 5],
    ["a date of a date", () => new Date(date).getTime(), date.getTime()],
    ["a date of a subclass", () => new (class Day extends Date {})(5).getTime(), 5],
    ["no date", () => new Date(Number.NaN).getTime(), Number.NaN],
    ["an ISO date", () => new Date("2020-06-01").toISOString(), "2020-06-01T00:00:00.000Z"],
    ["a year", () => Date.parse("2020"), Date.UTC(2020)],
    ["a time in UTC", () => new Date("2020-06-01T10:00Z").getUTCHours(), 10],
    ["a time with its offset", () => new Date("2020-06-01T10:00+02:00").getUTCHours(), 8],
    ["a date of a mail", () => Date.parse("Mon, 01 Jun 2020 10:00:00 GMT"), Date.UTC(2020, 5, 1, 10)],
    ["Date.UTC", () => Date.UTC(2020, 0), 1_577_836_800_000],
    ["the UTC methods", () => [date.getUTCHours(), date.toISOString()], [12, "2020-06-01T12:00:00.000Z"]],
    [
      "dates as numbers and JSON",
      () => [+date - 1, JSON.stringify(date)],
      [date.getTime() - 1, '"2020-06-01T12:00:00.000Z"'],
    ],
    ["a zone", () => date.toLocaleString("en", { timeZone: "Asia/Tokyo" }), "6/1/2020, 9:00:00 PM"],
    ["a zone of a format", () => new Intl.DateTimeFormat("en", { timeZone: "UTC" }).format(date), "6/1/2020"],
    ["a language", () => [(1.5).toLocaleString("de"), "i".toLocaleUpperCase("tr")], ["1,5", "İ"]],
    ["a list of languages", () => [1.5, 2].toLocaleString(["xx", "de"]), "1,5,2"],
    ["an order", () => ["b", "ä", "a"].toSorted((a, b) => a.localeCompare(b, "de")), ["a", "ä", "b"]],
    ["a format of before", () => en.format(1234.5), "1,234.5"],
    ["a copy", () => structuredClone({ at: date, list: [1n] }), { at: date, list: [1n] }],
    ["a digest", () => createHash("sha256").update("a").digest("hex").slice(0, 8), "ca978112"],
    ["text and bytes", () => new TextDecoder().decode(Buffer.from("ü").subarray(0, 2)), "ü"],
    ["an address", () => new URL("/b", "http://a/").href, "http://a/b"],
    [
      "arithmetic",
      () => [Math.max(1, 2), 2n ** 64n, Number.parseFloat("1.5")],
      [2, 18_446_744_073_709_551_616n, 1.5],
    ],
  ])("%s is as always", (_, run, expected) => {
    const { thrown, violation, value } = during(run)
    expect([thrown, violation]).toEqual([undefined, undefined])
    expect(value).toEqual(expected)
  })

  it("a console may be used, and warnings be given: what they do to print is not the command's doing", () => {
    const program = `
      import { guard } from "@lockstep/actor"
      guard.install()
      guard.enter(() => "a command")
      console.log("printed")
      process.emitWarning("careful")
      console.log(String(guard.leave()))`
    const hooks = new URL("../../../infra/scripts/ts-hooks.mjs", import.meta.url).href
    const options = ["--conditions=@lockstep/source", `--import=${hooks}`, "--input-type=module"]
    const { stdout, stderr } = spawnSync(process.execPath, [...options, `--eval=${program}`], {
      cwd: import.meta.dirname,
      encoding: "utf8",
    })
    expect([stdout, stderr]).toEqual(["printed\nundefined\n", expect.stringContaining("Warning: careful")])
  })
})

describe("outside of a command", () => {
  it.each(forbidden)("%s works", async (_, run) => {
    await expect(Promise.resolve(run()).then(() => "works")).resolves.toBe("works")
  })

  it("nothing remains of a command that is over, also when it threw", () => {
    during(() => {
      throw new Error("out of money")
    })
    expect(during(() => Math.random()).violation).toBeInstanceOf(Nondeterminism)
    expect(during(() => 1)).toEqual({ value: 1, thrown: undefined, violation: undefined })
    expect(Math.random()).toBeLessThan(1)
  })

  it("what is patched looks as before: names, prototypes, instances, statics", async () => {
    expect([Date.name, Date.length, Math.random.name, fetch.name]).toEqual(["Date", 7, "random", "fetch"])
    expect([date instanceof Date, new Date().constructor === Date]).toEqual([true, true])
    expect(Object.getPrototypeOf(new Date())).toBe(Date.prototype)
    expect(new (class Day extends Date {})()).toBeInstanceOf(Date)
    expect(typeof (Date as unknown as () => string)()).toBe("string")
    expect(en).toBeInstanceOf(Intl.NumberFormat)
    expect(Intl.NumberFormat.supportedLocalesOf("de")).toEqual(["de"])
    expect(await promisify(setTimeout)(0, "promised")).toBe("promised")
    expect(structuredClone(new Date(5))).toEqual(new Date(5))
  })

  it("what could be assigned still can be", () => {
    const { ppid } = process
    Object.assign(process, { ppid: 1 })
    expect(process.ppid).toBe(1)
    Object.assign(process, { ppid })
    expect(process.ppid).toBe(ppid)
  })

  it("patching again changes nothing", () => {
    const before = [Date, Math.random, globalThis.setTimeout, nodeCrypto.randomBytes]
    guard.install()
    expect([Date, Math.random, globalThis.setTimeout, nodeCrypto.randomBytes]).toEqual(before)
  })
})

function during(run: () => unknown) {
  let value: unknown
  let thrown: unknown
  guard.enter(() => 'bank/Account("alice").deposit at 7')
  try {
    value = run()
  } catch (error) {
    thrown = error
  }
  const violation = guard.leave()
  return { value, thrown, violation }
}
