import { Diverged, NoQuorum } from "lockstep"
import { describe, expect, it } from "vitest"
import { LedgerGroup, Load } from "./group.ts"
import { Ledger } from "./ledger.ts"

const limits = { deadlineMs: 1000 }

describe("with two faulty replicas of three", () => {
  it("a caller is told NoQuorum, who was not heard, and gets its answer by retry once they are back", async () => {
    await using group = await LedgerGroup.start()
    await using client = await group.connect({ limits })
    const load = new Load(client)
    await load.progress(100)
    await load.stopAndCheck()
    await group.replica(0).kill()
    group.replica(1).pause()
    const ledger = client.actor(Ledger, "other")
    const error: unknown = await ledger.record("once").catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(NoQuorum)
    if (!(error instanceof NoQuorum)) return
    expect(error.missing).toEqual(["r0", "r1"])
    expect(error.message).toMatch(
      /r2 answered 0 \(digest [0-9a-f]{12}\) at \d+, r0 was not heard, r1 was not heard/,
    )
    group.replica(1).resume()
    await expect.poll(() => client.retry(error).catch(() => "not yet"), { timeout: 10_000 }).toBe(0)
    expect(await ledger.entries(0)).toEqual(["once"])
  })

  it("that are wrong in different ways, a caller is told Diverged with the evidence, never a wrong answer", async () => {
    await using group = await LedgerGroup.start({ r0: "value", r1: "error" })
    await using client = await group.connect({ limits })
    const ledger = client.actor(Ledger, "key")
    for (let i = 0; i < 100; i++) expect(await ledger.record(`entry ${i}`)).toBe(i)
    const error: unknown = await ledger.record("entry 100").catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(Diverged)
    if (!(error instanceof Diverged)) return
    const said = error.testimonies.map(({ replica, outcome }) => [replica, outcome] as const)
    expect(Object.fromEntries(said)).toEqual({
      r0: { _tag: "Returned", value: 101 },
      r1: { _tag: "Threw", code: "Broken", data: { place: 100 } },
      r2: { _tag: "Returned", value: 100 },
    })
  })
})
