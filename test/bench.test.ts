import { existsSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { define } from "@lockstep/actor"
import { connect, createGroup, host } from "lockstep"
import { startServer } from "lockstep/develop"
import { describe, expect, it } from "vitest"
import { Audit } from "./bench/audit.ts"
import type { Chart } from "./bench/chart.ts"
import { cpuMs } from "./bench/cpu.ts"
import { draw } from "./bench/picture.ts"
import { Scribe } from "./bench/scribe.ts"
import { Solo } from "./bench/solo.ts"
import { callSteadily, noticed, type Sent } from "./bench/steady.ts"

// What the figures of `npm run bench` rest on.

describe("an audit of counters", () => {
  it("accepts what was acknowledged, with or without what failed", async () => {
    const counter = new Counter()
    const audit = new Audit([() => counter.add()])
    await audit.add(0)
    counter.next = "fails, and counts"
    await expect(audit.add(0)).rejects.toThrow("failed")
    counter.next = "fails"
    await expect(audit.add(0)).rejects.toThrow("failed")
    await audit.check("it")
  })

  it("notices a call that was acknowledged and lost", async () => {
    const counter = new Counter()
    const audit = new Audit([() => counter.add()])
    counter.next = "is lost"
    await audit.add(0)
    await expect(audit.check("it")).rejects.toThrow("key 0 is 0; 1 calls were acknowledged, and 0 failed")
  })

  it("notices a call that took effect twice", async () => {
    const counter = new Counter()
    const audit = new Audit([() => counter.add()])
    counter.next = "is doubled"
    await audit.add(0)
    await expect(audit.check("it")).rejects.toThrow("key 0 is 2; 1 calls were acknowledged, and 0 failed")
  })
})

describe("an audit of counters that others have called", () => {
  it("knows what they must have come to before", async () => {
    const counter = new Counter()
    for (let i = 0; i < 3; i++) await counter.add()
    await new Audit([() => counter.add()], () => 3).check("it")
    await expect(new Audit([() => counter.add()], () => 3).check("it")).rejects.toThrow("key 0 is 4; 3 calls")
  })
})

describe("a log that is written by hand", () => {
  it("is executed as if clients had called, each command once", async () => {
    await using server = await startServer({ syncInterval: "2m" })
    const { url: servers } = server
    const log = { copies: 1, maxBytes: 1024 ** 3, maxEntryBytes: 1024 ** 2 } as const
    await createGroup({ servers, replicas: ["r0"], log, accept: ["single-copy-log", "sync-interval"] })
    const keys = ["a", "b", "c", "d"]
    await using scribe = await Scribe.open([servers], "main", {
      type: define(Solo).type,
      member: "visit",
      keys,
    })
    await scribe.write(2000, 3)
    await scribe.write(5, 7)
    expect(keys.map((_, key) => scribe.writtenOf(key))).toEqual([1509, 1509, 1509, 1508])
    await using replica = await host({ servers, replica: "r0", actors: [Solo], determinism: "guarded" })
    await using client = await connect({ servers })
    const visits = keys.map((key) => client.actor(Solo, key)).map((actor) => () => actor.visit())
    await new Audit(visits, (key) => scribe.writtenOf(key)).check("the log")
    expect(replica.status[0]).toMatchObject({ repeated: 0, malformed: 0 })
  })
})

describe("a process's time of a processor", () => {
  it.runIf(
    existsSync("/proc/self/schedstat"), // elsewhere the bench leaves it out
  )("grows by what it computes, and not while it sleeps", async () => {
    const before = cpuMs(process.pid) ?? Number.NaN
    const untilMs = performance.now() + 200
    while (performance.now() < untilMs);
    const worked = cpuMs(process.pid) ?? Number.NaN
    await sleep(200)
    const slept = cpuMs(process.pid) ?? Number.NaN
    expect(worked - before).toBeGreaterThan(50)
    expect(slept - worked).toBeLessThan(worked - before)
  })
})

describe("a steady stream of calls", () => {
  it("goes on while nothing is answered, and counts from when each call was due", async () => {
    const over = new AbortController()
    const stall = Promise.withResolvers<void>()
    const calls = callSteadily({ perSecond: 1000, signal: over.signal }, () => stall.promise)
    await sleep(100)
    stall.resolve()
    over.abort()
    const sent = await calls
    expect(sent.length).toBeGreaterThan(50)
    const [first, last] = [sent[0], sent.at(-1)].map((call) => (call?.endedMs ?? 0) - (call?.dueMs ?? 0))
    expect(first).toBeGreaterThan(last ?? 0)
    expect(first).toBeGreaterThanOrEqual(99)
  })

  it("counts what was due before this process got to it", async () => {
    const over = new AbortController()
    const calls = callSteadily({ perSecond: 1000, signal: over.signal }, () => Promise.resolve())
    await sleep(20)
    const untilMs = performance.now() + 50
    while (performance.now() < untilMs); // what is due meanwhile is late
    await sleep(20)
    over.abort()
    const sent = await calls
    expect(Math.max(...sent.map(({ dueMs, endedMs }) => endedMs - dueMs))).toBeGreaterThan(40)
  })

  it("has a gap in the phase in which most of it lies, and failures among the latencies", () => {
    const answered = (dueMs: number, endedMs: number): Sent => ({ dueMs, endedMs, failed: false })
    const sent = [answered(5, 6), answered(8, 9), { dueMs: 12, endedMs: 90, failed: true }, answered(20, 30)]
    expect(noticed(sent, { fromMs: 0, toMs: 10 })).toEqual({
      calls: 2,
      p50Ms: 1,
      p99Ms: 1,
      gapMs: 3,
      failed: 0,
    })
    expect(noticed(sent, { fromMs: 10, toMs: 40 })).toMatchObject({
      calls: 2,
      p99Ms: 78,
      gapMs: 21,
      failed: 1,
    })
  })
})

describe("a picture", () => {
  const chart: Chart = {
    title: "A < B & C",
    unit: "milliseconds",
    better: "less",
    scale: "logarithmic",
    groups: [{ name: "a log", bars: [{ name: "lockstep", value: 1.5, spread: 0.1 }] }],
  }
  const svg = draw({ title: "What it costs", subtitle: "a machine" }, [chart])

  it("says all that it shows in words, and has no script", () => {
    expect(svg).toContain(
      '<desc id="description">A &lt; B &amp; C (less is better). a log: lockstep: 1.50 ms ±10 %.</desc>',
    )
    expect(svg).toMatch(/<text class="name"[^>]*>lockstep<\/text>/)
    expect(svg).not.toContain("<script")
  })

  it("draws longer bars for larger values, also where they differ by a thousand times", () => {
    const values = [0.4, 3, 700]
    const bars = values.map((value) => ({ name: String(value), value }))
    const drawn = draw({ title: "", subtitle: "" }, [{ ...chart, groups: [{ bars }] }])
    const widths = [...drawn.matchAll(/<rect class="c1"[^>]* width="([\d.]+)"/g)].map(([, width]) =>
      Number(width),
    )
    expect(widths).toHaveLength(3)
    expect(widths).toEqual(widths.toSorted((a, b) => a - b))
    expect(widths[0]).toBeGreaterThan(10)
  })
})

class Counter {
  next: "counts" | "is lost" | "is doubled" | "fails" | "fails, and counts" = "counts"
  #value = 0

  add(): Promise<number> {
    const { next } = this
    this.next = "counts"
    if (next === "counts" || next === "fails, and counts") this.#value++
    if (next === "is doubled") this.#value += 2
    return next.startsWith("fails") ? Promise.reject(new Error("it failed")) : Promise.resolve(this.#value)
  }
}
