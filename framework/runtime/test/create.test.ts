import {
  connect,
  createGroup,
  type CreateGroupOptions,
  GroupMismatch,
  LogUnavailable,
  UnsafeSetting,
} from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { rejection } from "./rejection.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let server: Server
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

function create(group: string, options: Partial<CreateGroupOptions> = {}) {
  return createGroup({
    servers: server.url,
    group,
    replicas: ["r0", "r1", "r2"],
    partitions: 2,
    log: { copies: 1, maxBytes: 64 * 1024 ** 2, maxEntryBytes: 1024 ** 2 },
    environment: "development",
    ...options,
  })
}

describe("a group", () => {
  it("is made once, is found when it is wanted again, and can be connected to", async () => {
    const [one, two] = await Promise.all([create("made"), create("made")])
    expect(one).toMatchObject({ group: "made", replicas: ["r0", "r1", "r2"], partitions: 2 })
    expect(two).toEqual(one)
    await using client = await connect({ servers: server.url, group: "made" })
    expect(client.group).toEqual(one)
  })

  it("that exists is not changed into another one", async () => {
    const made = await create("kept")
    const other = await rejection(create("kept", { replicas: ["r0", "r1"] }))
    expect(other).toBeInstanceOf(GroupMismatch)
    expect(other.message).toMatch(/"kept" exists with replicas r0,r1,r2, and r0,r1 was asked for/)
    expect(await create("kept")).toEqual(made)
  })

  it("is one of production, unless it is said otherwise: one copy of the log is refused", async () => {
    const error = await rejection(create("safe", { environment: undefined as never }))
    expect(error).toBeInstanceOf(UnsafeSetting)
    expect(error.message).toMatch(/num_replicas is 1 and must be 3 or 5/)
  })

  it.each([
    ["without replicas", { replicas: [] }, /each have a name of their own, and these are none$/],
    ["with a name twice", { replicas: ["r0", "r1", "r0"] }, /a name of their own, and these are r0, r1, r0$/],
    ["with a name that is none", { replicas: ["r0", "r.1"] }, /replica id "r\.1" must be 1 to 64 letters/],
    ["of half a partition", { partitions: 0.5 }, /partitions must be a whole number from 1 to 256/],
  ])("is refused %s, and not made", async (_, options, complaint) => {
    const error = await rejection(create("wrong", options))
    expect(error.message).toMatch(complaint)
    await expect(connect({ servers: server.url, group: "wrong" })).rejects.toThrow(/no group "wrong"/)
  })

  it("is refused where no server runs, quickly", async () => {
    await expect(create("g", { servers: "nats://127.0.0.1:1" })).rejects.toBeInstanceOf(LogUnavailable)
  })
})
