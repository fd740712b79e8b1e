import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ClientId, GroupName, Partition } from "@lockstep/core"
import { append, openConnection, openTail } from "@lockstep/nats"
import { Random } from "@lockstep/testing"
import { jetstreamManager } from "@nats-io/jetstream"
import { createGroup } from "lockstep"
import { describe, expect, it } from "vitest"
import { Network } from "./network.ts"
import { OPEN } from "./proxy.ts"
import { WORKLOAD } from "./run.ts"
import { as, SERVERS, startServers } from "./servers.ts"
import { Site } from "./site.ts"
import { Workload } from "./workload.ts"

describe("a server that is cut off from the other servers only", () => {
  it("is left by clients and replicas, who are served by the others before it is joined again", async () => {
    await using site = await Site.start({
      lie: undefined,
      deadlinesMs: [60_000],
      random: new Random(1),
    })
    const workload = new Workload(site.clients, new Random(2), WORKLOAD)
    await workload.progress(5, 30_000)
    const cutOff = site.network.serverOf("client-0")
    expect(cutOff).toBeDefined()
    site.network.set(cutOff ?? 0, "servers", "both", { ...OPEN, silent: true })
    // what had been sent to it is answered by others, after their election and our patience
    const answered = await workload.progress(20, 60_000)
    expect([...answered.values()].filter((count) => count < 20)).toEqual([])
    expect(site.network.serverOf("client-0")).not.toBe(cutOff)
    site.network.heal(cutOff ?? 0)
    await workload.stop()
    await site.serversRecovered()
    await site.replicasRecovered({ excused: "none" })
  })

  it("is left by a replica whose consumer it hosts itself, which hears from it as ever, when the log goes on elsewhere", async () => {
    await using stack = new AsyncDisposableStack()
    const network = stack.use(await Network.open(SERVERS, ["r0", "client"], new Random(3)))
    const directory = await mkdtemp(join(tmpdir(), "lockstep-cut-off-"))
    stack.defer(() => rm(directory, { recursive: true, force: true }))
    const replicas = ["r0", "r1", "r2"]
    const servers = await startServers(network, replicas, directory, stack)
    const direct = { servers: servers.map(({ server }) => server.url), ...as("controller") }
    await createGroup({
      ...direct,
      replicas,
      log: { copies: SERVERS, maxBytes: 1024 ** 2, maxEntryBytes: 64 * 1024 },
    })
    const controller = stack.use(await openConnection({ ...direct, name: "controller" }))
    const log = { group: GroupName("main"), partition: Partition(0) }
    const replica = stack.use(await openConnection({ servers: network.urls("r0"), ...as("r0"), name: "r0" }))
    const seqs: Array<number> = []
    const tail = openTail(
      replica,
      { ...log, from: () => seqs.length + 1 },
      {
        onAttached: () => undefined,
        onAway: () => undefined,
        onEntries: (entries) => seqs.push(...entries.map(({ seq }) => seq)),
      },
    )
    stack.defer(() => tail.close())
    // JetStream draws a host for each consumer: made anew until it is the server that the replica is connected to
    const { consumers } = await jetstreamManager(controller.nats)
    const cutOff = network.serverOf("r0") ?? 0
    const isHosted = async (): Promise<boolean> => {
      const [consumer, ...more] = await consumers.list("LOG_main_0").next()
      if (consumer !== undefined && more.length === 0 && consumer.cluster?.leader === `n${cutOff}`)
        return true
      tail.reattach()
      return false
    }
    await expect.poll(isHosted, { interval: 200, timeout: 30_000 }).toBe(true)
    const others = network.urls("client").filter((_, server) => server !== cutOff)
    const client = stack.use(await openConnection({ servers: others, ...as("client"), name: "client" }))
    const writer = { client: ClientId("c") }
    const appended = async (): Promise<boolean> =>
      (await append(client, { ...log, writer }, Buffer.from("entry")))._tag === "Appended"
    expect(await appended()).toBe(true)
    await expect.poll(() => seqs).toEqual([1])
    network.set(cutOff, "servers", "both", { ...OPEN, silent: true })
    // until the others have noticed and elected
    await expect.poll(appended, { interval: 200, timeout: 30_000 }).toBe(true)
    await expect.poll(() => seqs.length, { timeout: 30_000 }).toBeGreaterThan(1)
    expect(network.serverOf("r0")).not.toBe(cutOff)
  })
})
