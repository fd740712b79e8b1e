import { connect, host } from "lockstep"
import { develop } from "lockstep/develop"
import { describe, expect, it, vi } from "vitest"
import { Counter, LyingCounter } from "./actors.ts"
import { caughtUp } from "./hosts.ts"

vi.setConfig({ testTimeout: 60_000 })

/** Collects the uncaught exceptions of this process, in place of the test runner. */
function catchUncaught() {
  const others = process.listeners("uncaughtException")
  const errors: Array<unknown> = []
  process.removeAllListeners("uncaughtException").on("uncaughtException", (error) => errors.push(error))
  return {
    errors,
    [Symbol.dispose]() {
      process.removeAllListeners("uncaughtException")
      for (const other of others) process.on("uncaughtException", other)
    },
  }
}

function broken(): never {
  throw new Error("the logger is broken")
}

describe("a listener that throws", () => {
  it("does not stop the replica whose events it is told", async () => {
    using uncaught = catchUncaught()
    await using group = await develop([Counter], { onEvent: broken })
    await using client = await connect({ servers: group.servers })
    expect(await client.actor(Counter, "c").add(1)).toBe(1)
    expect(group.hosts.map(({ live }) => live)).toEqual([true, true, true])
    expect(uncaught.errors[0]).toMatchObject({ message: "the logger is broken" })
  })

  it("does not lose the answers of the client whose dissents it is told", async () => {
    using uncaught = catchUncaught()
    await using group = await develop([Counter])
    await group.hosts[2]?.drain()
    await using liar = await host({ servers: group.servers, actors: [LyingCounter], replica: "r2" })
    await using client = await connect({ servers: group.servers, onDissent: broken })
    await caughtUp([liar])
    for (let sum = 1; sum <= 10; sum++) expect(await client.actor(Counter, "c").add(1)).toBe(sum)
    await expect.poll(() => uncaught.errors.length, { timeout: 10_000 }).toBe(10)
    expect(client.counts.dissents).toEqual(new Map([["r2", 10]]))
  })
})
