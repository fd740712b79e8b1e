import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { Command, connect, Replicated, stateMachine } from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { beside, type Program, run } from "./program.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

/** The class of actors.mjs, as its callers have it. */
@Replicated({ name: "Counter", version: 1, mode: stateMachine({ faults: 0, faultModel: "crash" }) })
class Counter {
  value = 0

  @Command()
  add(amount: number): number {
    this.value += amount
    return this.value
  }
}

const folder = mkdtempSync(join(tmpdir(), "lockstep-replica-"))
let server: Server
beforeAll(async () => {
  server = await startServer()
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true })
})

/** A module with this text. */
function module(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

function start(group: string, settings: Readonly<Record<string, string>> = {}): Program {
  return run({
    SERVERS: server.url,
    GROUP: group,
    REPLICA: "r0",
    CREATE_REPLICAS: "r0",
    MODULE: beside("actors.mjs"),
    ...settings,
  })
}

async function get(url: string): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = await fetch(url)
  return { status: response.status, body: await response.json() }
}

describe("the replica program", () => {
  it("makes its group, answers calls, and says how it is", async () => {
    await using replica = start("healthy", { CREATE_PARTITIONS: "2" })
    const { health, group } = await replica.saw("started")
    expect(group).toBe("healthy")
    await using client = await connect({ servers: server.url, group: "healthy" })
    expect(await client.actor(Counter, "c").add(2)).toBe(2)
    expect(await get(`${String(health)}/live`)).toMatchObject({ status: 200 })
    expect(await get(`${String(health)}/ready`)).toMatchObject({ status: 200, body: { caughtUp: true } })
    const { status, body } = await get(`${String(health)}/status`)
    expect([status, body]).toMatchObject([200, { replica: "r0", group: "healthy", live: true }])
    expect(JSON.stringify(body)).toMatch(/"applied":2,"chain":"[0-9a-f]{64}".*"executed":1/)
    expect(await get(`${String(health)}/elsewhere`)).toMatchObject({ status: 404 })
  })

  it.each(["SIGTERM", "SIGINT"] as const)("drains on %s and ends with 0", async (signal) => {
    await using replica = start("drained")
    await replica.saw("started")
    replica.kill(signal)
    expect(await replica.ended).toBe(0)
    expect(replica.lines.slice(-2)).toMatchObject([{ event: "draining", signal }, { event: "drained" }])
    for (const { time } of replica.lines) expect(new Date(time).toISOString()).toBe(time)
  })

  it("drains and ends with 1 when nobody reads its log any more", async () => {
    const actors = pathToFileURL(beside("actors.mjs")).href
    const says = `setInterval(() => process.stdout.write('{"event":"again"}\\n'), 20)`
    await using replica = start("unheard", {
      MODULE: module("talkative.mjs", `${says}\nexport { actors } from "${actors}"`),
    })
    await replica.saw("started")
    replica.deafen()
    expect(await replica.ended).toBe(1)
  })

  it("drains when the process that it has a channel with is gone", async () => {
    await using replica = start("orphaned")
    await replica.saw("started")
    replica.disconnect()
    expect(await replica.ended).toBe(0)
    expect(replica.lines.slice(-2)).toMatchObject([{ event: "draining" }, { event: "drained" }])
  })

  it("ends even where its actors' module has left something running", async () => {
    const actors = pathToFileURL(beside("actors.mjs")).href
    const restless = module("restless.mjs", `setInterval(() => {}, 1000)\nexport { actors } from "${actors}"`)
    await using replica = start("restless", { MODULE: restless })
    await replica.saw("started")
    replica.kill("SIGTERM")
    expect(await replica.ended).toBe(0)
    await using refused = start("restless", { MODULE: restless, REPLICA: "r9" })
    expect(await refused.ended).toBe(1)
  })

  it("halts, and is no longer live, when its log was deleted and made again", async () => {
    await using first = await startServer()
    const settings = { SERVERS: first.url, CREATE_REPLICAS: "r0,r1" }
    await using r0 = start("forgotten", settings)
    const { health } = await r0.saw("started")
    await first.stop()
    await using second = await startServer({ port: Number(new URL(first.url).port) })
    await using r1 = start("forgotten", { ...settings, SERVERS: second.url, REPLICA: "r1" })
    await r1.saw("started")
    expect(await r0.saw("halted")).toMatchObject({ partition: 0, reason: "log-recreated", applied: 0 })
    expect(await get(`${String(health)}/live`)).toMatchObject({
      status: 503,
      body: { live: false, partitions: [{ halted: { reason: "log-recreated" } }] },
    })
    r0.kill("SIGTERM")
    expect(await r0.ended).toBe(0)
  })
})

describe("the replica program ends with 1 and one line that says why", () => {
  const nobody = "nats://127.0.0.1:1"
  it.each<readonly [why: string, settings: () => Record<string, string>, error: RegExp]>([
    [
      "nothing is set",
      () => ({ SERVERS: "" }),
      /^WrongSetting: LOCKSTEP_SERVERS is not set\. It is the NATS/,
    ],
    [
      "no server runs",
      () => ({ SERVERS: nobody }),
      /^LogUnavailable: .* at nats:\/\/127\.0\.0\.1:1 \(connection/,
    ],
    [
      "a risk is unknown",
      () => ({ ACCEPT: "all" }),
      /is "all", .* out of single-copy-log, sync-interval, unver/,
    ],
    [
      "there is no module",
      () => ({ MODULE: "no.js" }),
      /^there is no module \/.*no\.js, which LOCKSTEP_MODULE/,
    ],
    [
      "it has no actors",
      () => ({ MODULE: module("a.mjs", "") }),
      /a\.mjs exports no list of classes as `actors`/,
    ],
    [
      "it has other things",
      () => ({ MODULE: module("b.mjs", "export const actors = [1]") }),
      /no list of classes/,
    ],
    [
      "it is broken",
      () => ({ MODULE: module("c.mjs", "export nonsense") }),
      /c\.mjs, .* cannot be loaded: SyntaxE/,
    ],
    [
      "it needs others",
      () => ({ MODULE: module("d.mjs", "import 'no-one'") }),
      /cannot be loaded: .*'no-one'/,
    ],
    [
      "there is no group",
      () => ({ CREATE_REPLICAS: "" }),
      /^UnknownGroup: there is no group "refused" on these/,
    ],
    [
      "it is not in the list",
      () => ({ REPLICA: "r9" }),
      /^replica r9 is none of the replicas .* which are r0$/,
    ],
    ["its name is none", () => ({ REPLICA: "r 9" }), /^replica id "r 9" must be 1 to 64 letters/],
  ])("where %s", async (_, settings, error) => {
    await using replica = start("refused", settings())
    expect(await replica.ended).toBe(1)
    expect(replica.lines).toHaveLength(1)
    expect(replica.lines[0]).toEqual({ time: expect.any(String), event: "failed", error: expect.any(String) })
    expect(replica.lines[0]?.["error"]).toMatch(error)
    expect(replica.lines[0]?.["error"]).not.toMatch(/Schema|Config\(|Effect|Fiber|Cause|\n\s*at |main\.js/)
  })
})
