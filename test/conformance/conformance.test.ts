import type { ReplicationMode } from "@lockstep/replication"
import {
  ActorError,
  type Diverged,
  type Host,
  LockstepError,
  type NoQuorum,
  type OutcomeUnknown,
} from "lockstep"
import { describe, expect, it } from "vitest"
import { Group } from "./group.ts"
import { MODES } from "./modes.ts"
import { walletIn } from "./wallet.ts"

/** What `retry` takes. */
type Undecided = NoQuorum | OutcomeUnknown | Diverged

async function begun(mode: ReplicationMode) {
  const stack = new AsyncDisposableStack()
  const actor = walletIn(mode)
  const group = stack.use(await Group.start(actor, mode))
  const client = stack.use(await group.connect())
  const wallet = (key: string) => client.actor(actor, key)
  return { group, client, actor, wallet, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** Of every mode. */
const REPLICAS = 3

/** It has executed all that it missed; and where there is a master, that one counts on everybody. */
function isWhole({ status }: Host): boolean {
  return status.every(
    ({ caughtUp, reign }) => caughtUp && (reign === undefined || reign.inSync.length === REPLICAS),
  )
}

async function errorOf(call: Promise<unknown>): Promise<unknown> {
  try {
    return { returned: await call }
  } catch (error) {
    return error
  }
}

/** What callers may rely on in all of them. What one promises beyond that is tested where it stands. */
describe.each(Object.entries(MODES))("%s", (_name, mode) => {
  it("executes each call once, one after the other, and a query sees what was answered before it", async () => {
    await using run = await begun(mode)
    const told = await Promise.all(Array.from({ length: 200 }, () => run.wallet("w").deposit(1n)))
    expect(told.toSorted((a, b) => Number(a - b))).toEqual(
      Array.from({ length: 200 }, (_, i) => BigInt(i + 1)),
    )
    expect(await run.wallet("w").balance()).toBe(200n)
  })

  it("keeps actors apart, whatever their keys are", async () => {
    await using run = await begun(mode)
    const keys = ["a", "A", "a/b", "a b", "*", ">", "ä", "\u0000", "🏦", "x".repeat(200)]
    await Promise.all(keys.map((key, i) => run.wallet(key).deposit(BigInt(i))))
    const balances = await Promise.all(keys.map((key) => run.wallet(key).balance()))
    expect(balances).toEqual(keys.map((_, i) => BigInt(i)))
  })

  it("tells a caller what its command threw, and keeps what that did before", async () => {
    await using run = await begun(mode)
    await run.wallet("w").deposit(5n)
    const overdrawn = await errorOf(run.wallet("w").withdraw(8n))
    expect(overdrawn).toBeInstanceOf(ActorError)
    expect(overdrawn).toMatchObject({ code: "Overdrawn", data: { missing: 3n } })
    expect(await run.wallet("w").balance()).toBe(-3n)
    expect(await errorOf(run.wallet("w").fail())).toMatchObject({ code: "RangeError" })
    expect(await run.wallet("w").balance()).toBe(-1n)
  })

  it("refuses arguments that cannot be carried before they are sent", async () => {
    await using run = await begun(mode)
    const noBytes = (() => 1) as unknown as Uint8Array // what a caller without types may pass
    const refused = await errorOf(run.wallet("w").keep(noBytes))
    expect(refused).toBeInstanceOf(Error)
    expect(refused).not.toHaveProperty("returned")
    expect(await run.wallet("w").kept()).toEqual([])
  })

  it("carries large arguments, results and states", async () => {
    await using run = await begun(mode)
    const bytes = Uint8Array.from({ length: 200_000 }, (_, i) => i % 251)
    for (let i = 1; i <= 4; i++) expect(await run.wallet("w").keep(bytes)).toBe(i)
    const kept = await run.wallet("w").kept()
    expect(kept.map((each) => Buffer.from(each).equals(bytes))).toEqual([true, true, true, true])
  })

  it("goes on while any one of its replicas is away, one after the other, and nothing is lost or done twice", async () => {
    await using run = await begun(mode)
    const stop = new AbortController()
    const load = async (): Promise<number> => {
      let answered = 0
      for (; !stop.signal.aborted; answered++) await run.wallet("w").deposit(1n)
      return answered
    }
    const callers = Promise.all(Array.from({ length: 4 }, load))
    for (const name of run.group.names) {
      const before = await run.wallet("w").balance()
      await run.group.stop(name)
      await expect.poll(() => run.wallet("w").balance(), { timeout: 20_000 }).toBeGreaterThan(before + 20n)
      await run.group.start(name)
      const isBack = () => run.group.hosts.every(isWhole)
      await expect.poll(isBack, { timeout: 20_000 }).toBe(true)
    }
    stop.abort()
    const answered = (await callers).reduce((sum, each) => sum + each, 0)
    expect(await run.wallet("w").balance()).toBe(BigInt(answered))
  })

  it("has everything when all of its replicas come back", async () => {
    await using run = await begun(mode)
    await Promise.all(Array.from({ length: 50 }, (_, i) => run.wallet(`w${i % 5}`).deposit(BigInt(i))))
    await run.group.stopAll()
    await run.group.startAll()
    const balances = await Promise.all(Array.from({ length: 5 }, (_, i) => run.wallet(`w${i}`).balance()))
    expect(balances).toEqual(Array.from({ length: 5 }, (_, i) => BigInt(10 * i + 5 * 45)))
  })

  it("says that nothing was executed, or that nobody knows, while nobody is there; and then finds out, or executes it", async () => {
    await using run = await begun(mode)
    await run.wallet("w").deposit(1n)
    await run.group.stopAll()
    await using hasty = await run.group.connect(1500)
    const failed = await errorOf(hasty.actor(run.actor, "w").deposit(10n))
    expect(failed).toBeInstanceOf(LockstepError)
    expect(failed).toMatchObject({ tookEffect: expect.stringMatching(/^(no|unknown)$/) })
    const { tookEffect } = failed as LockstepError // as expected above
    await run.group.startAll()
    const again =
      tookEffect === "no" ? await run.wallet("w").deposit(10n) : await hasty.retry(failed as Undecided)
    expect(again).toBe(11n)
    expect(await run.wallet("w").balance()).toBe(11n)
  })
})
