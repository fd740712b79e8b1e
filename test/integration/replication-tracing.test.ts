import { context, SeverityNumber, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api"
import { type ReadableSpan } from "@opentelemetry/sdk-trace"
import { primaryBackup } from "lockstep"
import { describe, expect, it, vi } from "vitest"
import { OPEN } from "../chaos/proxy.ts"
import { walletIn } from "../conformance/wallet.ts"
import { inMemory, isBelow } from "../telemetry/in-memory.ts"
import { Lines } from "./lines.ts"

vi.setConfig({ testTimeout: 60_000 })
const soon = { timeout: 20_000 }
const { exporter, named, records } = inMemory()

const synchronous = primaryBackup({ replication: "synchronous" })
const asynchronous = primaryBackup({ replication: "asynchronous" })

const degrading = primaryBackup({
  replication: "semi-synchronous",
  acknowledgements: 1,
  below: "degrade",
})

async function begun(mode: typeof synchronous) {
  const stack = new AsyncDisposableStack()
  const actor = walletIn(mode)
  const lines = stack.use(await Lines.start(actor, mode))
  const client = stack.use(await lines.connect())
  const wallet = client.actor(actor, "w")
  await context.with(UNSEEN, () => wallet.deposit(0n)) // opens its session
  exporter.reset()
  records.reset()
  return { lines, wallet, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const UNSEEN = trace.setSpanContext(context.active(), {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  traceFlags: 0,
})

const backupsOf = (spans: ReadonlyArray<ReadableSpan>) =>
  spans.map(({ attributes }) => String(attributes["lockstep.backup"])).toSorted((a, b) => a.localeCompare(b))
const atMs = ([seconds, nanoseconds]: ReadableSpan["endTime"]): number => seconds * 1e3 + nanoseconds / 1e6
const told = (...events: ReadonlyArray<string>) =>
  records
    .getFinishedLogRecords()
    .filter(({ eventName }) => eventName !== undefined && events.includes(eventName))

describe("a call whose primary waits for its backups", () => {
  it("is one trace: the call, what was sent, what the primary did, and how each backup got it", async () => {
    await using run = await begun(synchronous)
    await run.wallet.deposit(5n)
    const [call] = named("conformance/Wallet/deposit")
    const [send] = named("send ask.main.0")
    const [processed] = named("process ask.main.0")
    const [applied] = named("apply conformance/Wallet/deposit")
    const replicated = named("replicate")
    expect(exporter.getFinishedSpans()).toHaveLength(6)
    expect(send !== undefined && isBelow(send, call)).toBe(true)
    expect(processed !== undefined && isBelow(processed, send)).toBe(true)
    expect(applied !== undefined && isBelow(applied, processed)).toBe(true)
    expect(replicated.map((span) => isBelow(span, processed))).toEqual([true, true])
    expect(backupsOf(replicated)).toEqual(run.lines.backups)
    for (const span of replicated) {
      expect(span.kind).toBe(SpanKind.INTERNAL)
      expect(span.status.code).toBe(SpanStatusCode.UNSET)
      expect(span.attributes).toEqual({
        "lockstep.group": "main",
        "lockstep.partition": 0,
        "lockstep.replica": run.lines.master,
        "lockstep.backup": span.attributes["lockstep.backup"],
        "lockstep.log.seq": call?.attributes["lockstep.log.seq"],
      })
    }
    expect(exporter.getFinishedSpans().at(-1)).toBe(call)
  })

  it("says no more of a query than what it did", async () => {
    await using run = await begun(synchronous)
    expect(await run.wallet.balance()).toBe(0n)
    expect(exporter.getFinishedSpans().map(({ name }) => name)).toEqual([
      "send ask.main.0",
      "apply conformance/Wallet/balance",
      "process ask.main.0",
      "conformance/Wallet/balance",
    ])
  })
})

describe("a call whose primary waits for nobody", () => {
  it("is the same trace; it ends before a slow backup has it", async () => {
    await using run = await begun(asynchronous)
    const [near = "", far = ""] = run.lines.backups
    run.lines.slow(far, { ...OPEN, delayMs: 60 })
    await run.wallet.deposit(5n)
    expect(backupsOf(named("replicate"))).not.toContain(far)
    await expect.poll(() => backupsOf(named("replicate")), soon).toEqual([near, far].toSorted())
    const [processed] = named("process ask.main.0")
    expect(named("replicate").map((span) => isBelow(span, processed))).toEqual([true, true])
    const ended = exporter
      .getFinishedSpans()
      .map(({ name, attributes }) => attributes["lockstep.backup"] ?? name)
    expect(ended.indexOf(far)).toBeGreaterThan(ended.indexOf("conformance/Wallet/deposit"))
    expect(named("replicate").map(({ status }) => status.code)).toEqual([0, 0])
  })
})

describe("a backup that nobody hears", () => {
  it("is named when it falls out, in the span that waited for it too, and when it is back", async () => {
    await using run = await begun(synchronous)
    const [near = "", far = ""] = run.lines.backups
    const master = await run.lines.inSync(3)
    run.lines.cut(far)
    await run.wallet.deposit(5n)
    await expect.poll(() => named("replicate").length, soon).toBe(2)
    const statuses = Object.fromEntries(
      named("replicate").map(({ status, attributes }) => [
        attributes["lockstep.backup"],
        [status.code, attributes["error.type"], attributes["lockstep.reason"]],
      ]),
    )
    expect(statuses).toEqual({
      [near]: [SpanStatusCode.UNSET, undefined, undefined],
      [far]: [SpanStatusCode.ERROR, "late", "late"],
    })
    run.lines.mend(far)
    await run.lines.inSync(3)
    const changes = told("lockstep.backup.out_of_sync", "lockstep.backup.in_sync")
    const about = { "lockstep.replica": master, "lockstep.backup": far, "lockstep.epoch": 1 }
    expect(
      changes.map(({ eventName, severityNumber, attributes }) => [eventName, severityNumber, attributes]),
    ).toEqual([
      [
        "lockstep.backup.out_of_sync",
        SeverityNumber.WARN,
        expect.objectContaining({ ...about, "lockstep.reason": "late", "lockstep.in_sync": 2 }),
      ],
      [
        "lockstep.backup.in_sync",
        SeverityNumber.INFO,
        expect.objectContaining({ ...about, "lockstep.in_sync": 3 }),
      ],
    ])
    // what it missed, and was sent later, is told once
    expect(named("replicate")).toHaveLength(2)
  })
})

describe("a primary whose class may go on without backups", () => {
  it("says when fewer hold what it acknowledges than the class asks for, and when that is over", async () => {
    await using run = await begun(degrading)
    const { backups } = run.lines
    const master = await run.lines.inSync(3)
    const events = () =>
      told("lockstep.replication.degraded", "lockstep.replication.restored").map(
        ({ eventName, severityNumber, attributes }) => [
          eventName,
          severityNumber,
          attributes["lockstep.replica"],
        ],
      )
    for (const backup of backups) run.lines.cut(backup)
    await run.wallet.deposit(5n)
    const degraded = ["lockstep.replication.degraded", SeverityNumber.WARN, master]
    expect(events()).toEqual([degraded])
    for (const backup of backups) run.lines.mend(backup)
    await run.lines.inSync(3)
    expect(events()).toEqual([degraded, ["lockstep.replication.restored", SeverityNumber.INFO, master]])
  })
})

describe("a primary that nobody hears", () => {
  it("is named by the one that takes its place, once; what it waited for is told when it knows", async () => {
    await using run = await begun(synchronous)
    const before = await run.lines.inSync(3)
    // it executes, and its backups do not get what that came to
    for (const backup of run.lines.backups) run.lines.slow(backup, { ...OPEN, delayMs: 5000 })
    const undecided = run.wallet.deposit(5n).then(String, String)
    await expect.poll(() => named("process ask.main.0").length, soon).toBe(1)
    run.lines.cut(before)
    const [first = "", second = ""] = run.lines.backups
    for (const backup of [first, second]) run.lines.mend(backup)
    await expect.poll(() => told("lockstep.failover").length, soon).toBe(1)
    const [failover] = told("lockstep.failover")
    const next = String(failover?.attributes["lockstep.replica"])
    expect(failover?.severityNumber).toBe(SeverityNumber.WARN)
    expect(failover?.attributes).toMatchObject({
      "lockstep.master.before": before,
      "lockstep.epoch": 2,
      "lockstep.loss.window": 0,
    })
    await undecided
    await expect.poll(() => named("failover").length, soon).toBe(1)
    run.lines.mend(before)
    await run.lines.inSync(3)
    await expect.poll(() => named("replicate").length, soon).toBeGreaterThan(1)
    const [span] = named("failover")
    expect(span?.parentSpanContext).toBeUndefined()
    expect(span?.attributes).toMatchObject({
      "lockstep.replica": next,
      "lockstep.master.before": before,
      "lockstep.epoch": 2,
      "lockstep.loss.window": 0,
    })
    // at least so long nobody else may be elected: its lease has to end
    expect(atMs(span?.duration ?? [0, 0])).toBeGreaterThan(700)
    const [processed] = named("process ask.main.0")
    const deposed = named("replicate").filter(({ attributes }) => attributes["lockstep.replica"] === before)
    expect(backupsOf(deposed)).toEqual([first, second].toSorted())
    for (const { status, attributes, ...rest } of deposed) {
      expect([status.code, attributes["error.type"]]).toEqual([SpanStatusCode.ERROR, "failover"])
      expect(rest.parentSpanContext?.spanId).toBe(processed?.spanContext().spanId)
    }
    expect(told("lockstep.failover")).toHaveLength(1)
  })
})

describe("a primary that hands over", () => {
  it("is named by the next one, which is no failover; every call is executed once, and told of once", async () => {
    await using run = await begun(synchronous)
    const before = await run.lines.inSync(3)
    const [next = ""] = run.lines.backups
    const calls = Array.from({ length: 20 }, () => run.wallet.deposit(1n))
    run.lines.hostOf(before)?.handOver({ to: next })
    calls.push(...Array.from({ length: 20 }, () => run.wallet.deposit(1n)))
    await Promise.all(calls)
    await expect.poll(() => run.lines.master, soon).toBe(next)
    await run.wallet.deposit(1n)
    await run.lines.inSync(3)
    expect(await run.wallet.balance()).toBe(41n)
    const [handOver, ...others] = told("lockstep.hand_over", "lockstep.failover")
    expect(others).toEqual([])
    expect([handOver?.eventName, handOver?.severityNumber]).toEqual([
      "lockstep.hand_over",
      SeverityNumber.INFO,
    ])
    expect(handOver?.attributes).toMatchObject({
      "lockstep.replica": next,
      "lockstep.master.before": before,
      "lockstep.epoch": 2,
    })
    expect(named("failover")).toEqual([])
    const sent = named("send ask.main.0").map((span) => span.spanContext().spanId)
    const executed = named("process ask.main.0").map((span) => span.parentSpanContext?.spanId ?? "")
    expect(executed.toSorted()).toEqual(sent.toSorted())
  })

  it("tells nothing once more where a replica reads of it again", async () => {
    await using run = await begun(asynchronous)
    const before = await run.lines.inSync(3)
    const [next = ""] = run.lines.backups
    run.lines.hostOf(before)?.handOver({ to: next })
    await expect.poll(() => run.lines.master, soon).toBe(next)
    await run.lines.inSync(3)
    await run.lines.stop(before)
    await run.lines.start(before)
    await run.lines.inSync(3)
    expect(told("lockstep.hand_over")).toHaveLength(1)
    expect(told("lockstep.failover")).toEqual([])
    const left = told("lockstep.backup.out_of_sync").filter(
      ({ attributes }) => attributes["lockstep.backup"] === before,
    )
    expect(
      left.map(({ severityNumber, attributes }) => [severityNumber, attributes["lockstep.reason"]]),
    ).toEqual([[SeverityNumber.INFO, "leaving"]])
  })
})
