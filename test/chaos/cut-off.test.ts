import { Random } from "@lockstep/testing"
import { describe, expect, it } from "vitest"
import { OPEN } from "./proxy.ts"
import { WORKLOAD } from "./run.ts"
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
})
