import { setTimeout as sleep } from "node:timers/promises"
import { connect, NoQuorum, OutcomeUnknown } from "lockstep"
import { type Development, develop } from "lockstep/develop"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { Counter, Purse } from "./actors.ts"
import { rejection } from "./rejection.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let group: Development
beforeEach(async () => {
  group = await develop([Counter, Purse], { partitions: 2 })
})
afterEach(() => group.close())

/** The error that a promise ends with, if it does so long before the deadline of a call. */
function atOnce(promise: Promise<unknown>): Promise<Error> {
  return rejection(Promise.race([promise, sleep(4000, "too late", { ref: false })]))
}

async function stop(...indexes: ReadonlyArray<number>): Promise<void> {
  for (const index of indexes) await group.hosts[index]?.drain()
}

describe("closing a client", () => {
  it("ends what is in the log with NoQuorum, at once", async () => {
    const client = await connect({ servers: group.servers })
    const counter = client.actor(Counter, "c")
    await counter.add(1)
    await stop(1, 2)
    const ended = atOnce(counter.add(1))
    const executed = () => Math.max(...(group.hosts[0]?.status ?? []).map((partition) => partition.executed))
    await expect.poll(executed, { timeout: 10_000 }).toBe(2)
    await client.close()
    expect(await ended).toBeInstanceOf(NoQuorum)
  })

  it("ends what the log has not confirmed with OutcomeUnknown, at once", async () => {
    const client = await connect({ servers: group.servers })
    const counter = client.actor(Counter, "c")
    await counter.add(1)
    await group.server.kill()
    const ended = atOnce(counter.add(1))
    await expect.poll(() => client.counts.batches, { timeout: 10_000 }).toBe(2)
    await client.close()
    expect(await ended).toBeInstanceOf(OutcomeUnknown)
  })

  it("ends what was not sent yet with the promise that it was not executed", async () => {
    const client = await connect({ servers: group.servers })
    const ended = atOnce(client.actor(Counter, "c").add(1))
    await client.close()
    expect(await ended).toMatchObject({
      _tag: "Overloaded",
      tookEffect: "no",
      message: expect.stringMatching(/^The client was closed before it sent the command\./),
    })
  })

  it("ends calls that are made afterwards at once, and nothing is sent", async () => {
    const client = await connect({ servers: group.servers })
    const used = client.actor(Counter, "c")
    const unused = client.actor(Purse, "p")
    await used.add(1)
    await client.close()
    for (const call of [used.add(1), unused.put(1n), client.actor(Counter, "new").add(1)]) {
      const error = await atOnce(call)
      expect(error).toMatchObject({ _tag: "Overloaded", tookEffect: "no" })
      expect(error.message).toMatch(/^The client was closed before it sent the command\./)
    }
    await client.close()
  })

  it("leaves an undecided command undecided: a retry rejects with the same error, at once", async () => {
    const client = await connect({ servers: group.servers, limits: { deadlineMs: 500 } })
    const counter = client.actor(Counter, "c")
    await counter.add(1)
    await stop(1, 2)
    const error = await rejection(counter.add(1))
    if (!(error instanceof NoQuorum)) throw error
    await client.close()
    expect(await atOnce(client.retry(error))).toBe(error)
  })
})
