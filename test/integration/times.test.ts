import { GroupName, Partition, ReplicaId } from "@lockstep/core"
import { ReplicaProcess } from "@lockstep/replica-service/process"
import { connect, handOver, host, primaryBackup, stateMachine } from "lockstep"
import { startServer } from "lockstep/develop"
import { describe, expect, it } from "vitest"
import { METRICS } from "../../framework/runtime/src/telemetry/metrics.ts"
import { MEASURED_MAX, SeatTimes } from "../../framework/runtime/src/telemetry/seat-times.ts"
import { Group } from "../conformance/group.ts"
import { walletIn } from "../conformance/wallet.ts"
import { Meters } from "../telemetry/meters.ts"
import { pointOf, sumOf, values } from "../telemetry/points.ts"
import { Tab } from "./tab.ts"

const actor = walletIn(stateMachine({ faults: 1, faultModel: "byzantine" }))
const mode = stateMachine({ faults: 1, faultModel: "byzantine" })
const soon = { timeout: 20_000 }
const replicas = ["r0", "r1", "r2"]

async function begun(checkpointEveryBatches: number) {
  const stack = new AsyncDisposableStack()
  const meters = stack.use(new Meters())
  const group = stack.use(await Group.start(actor, mode, { checkpointEveryBatches }))
  await following(group)
  const client = stack.use(await group.connect())
  const wallet = client.actor(actor, "w")
  return { meters, group, wallet, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** What was in the log before a replica has caught up is not measured. */
async function following(group: Group): Promise<void> {
  await expect.poll(() => group.hosts.every(({ caughtUp }) => caughtUp), soon).toBe(true)
}

describe("the duration of a call on its servers", () => {
  const deposit = "lockstep conformance/Wallet/deposit"
  const each = (value: number, label: string): Readonly<Record<string, number>> =>
    Object.fromEntries(replicas.map((replica) => [label.replace("?", replica), value]))

  it("is said by each replica, of each command, with the error that it ended with", async () => {
    await using run = await begun(100)
    const startMs = performance.now()
    await Promise.all(Array.from({ length: 50 }, () => run.wallet.deposit(1n)))
    await expect(run.wallet.withdraw(100n)).rejects.toThrow("Overdrawn")
    await expect
      .poll(() => values(run.meters, METRICS.serverDuration), soon)
      .toEqual({
        ...each(50, `${deposit} ? `),
        ...each(1, "lockstep conformance/Wallet/withdraw ? Overdrawn"),
      })
    const sum = sumOf(await pointOf(run.meters, METRICS.serverDuration))
    expect(sum).toBeGreaterThan(0)
    expect(sum).toBeLessThan((performance.now() - startMs) / 1000)
  })

  it("is not said once more by a replica that executes the log once more", async () => {
    await using run = await begun(100)
    for (let i = 0; i < 3; i++) await run.wallet.deposit(1n)
    const durations = () => values(run.meters, METRICS.serverDuration)
    await expect.poll(durations, soon).toEqual(each(3, `${deposit} ? `))
    await run.group.stop("r1")
    await run.group.start("r1")
    await following(run.group)
    await run.wallet.deposit(1n)
    await expect.poll(durations, soon).toEqual(each(4, `${deposit} ? `))
  })

  it("is said of so many commands in a second, and of no more", async () => {
    await using _ = new Meters()
    const place = { group: GroupName("g"), partition: Partition(0), replica: ReplicaId("r0") }
    const times = SeatTimes.of(place)
    times?.turn(0)
    const measured = () =>
      Array.from({ length: 2 * MEASURED_MAX }, () => times?.start()).filter(Boolean).length
    expect(measured()).toBe(MEASURED_MAX)
    times?.turn(999)
    expect(measured()).toBe(0)
    times?.turn(1000)
    expect(measured()).toBe(MEASURED_MAX)
  })
})

describe("what a replica does about the log", () => {
  it("is measured as it comes, with how late that is", async () => {
    await using run = await begun(100)
    const startMs = performance.now()
    await run.wallet.deposit(1n)
    const counts = async () => Object.values(await values(run.meters, METRICS.applyDuration))
    await expect.poll(counts, soon).toHaveLength(3)
    const before = await counts()
    for (let i = 0; i < 5; i++) await run.wallet.deposit(1n)
    await expect
      .poll(async () => (await counts()).every((count, i) => count > (before[i] ?? 0)), soon)
      .toBe(true)
    for (const metric of [METRICS.applyDuration, METRICS.applyLag]) {
      const sum = sumOf(await pointOf(run.meters, metric))
      expect(sum).toBeGreaterThan(0)
      // six calls, each through the log once
      expect(sum).toBeLessThan((6 * (performance.now() - startMs)) / 1000)
    }
    expect(await values(run.meters, METRICS.applyLag)).toEqual(
      await values(run.meters, METRICS.applyDuration),
    )
  })

  it("is nobody's lag while it is read once more", async () => {
    await using run = await begun(100)
    await run.wallet.deposit(1n)
    await expect.poll(() => values(run.meters, METRICS.applied), soon).toMatchObject({ r1: 2 })
    const { r1: before = 0 } = await values(run.meters, METRICS.applyLag)
    expect(before).toBeGreaterThan(0)
    await run.group.stop("r1")
    await run.group.start("r1")
    await expect.poll(() => values(run.meters, METRICS.state), soon).toMatchObject({ "r1 following": 1 })
    expect(await values(run.meters, METRICS.applyLag)).toMatchObject({ r1: before })
    expect(await values(run.meters, METRICS.pending)).toEqual({ r0: 0, r1: 0, r2: 0 })
  })
})

describe("checkpoints", () => {
  it("are measured when they are on the disk: how long that took, how much it was, and how old it is", async () => {
    await using run = await begun(2)
    const of = async (metric: Parameters<typeof values>[1]) => (await values(run.meters, metric))["r0"]
    expect(await of(METRICS.checkpointDuration)).toBeUndefined()
    expect(await of(METRICS.checkpointWritten)).toBe(0)
    const sizeBefore = (await of(METRICS.checkpointSize)) ?? 0
    expect(sizeBefore).toBeGreaterThan(0)
    const old = async () => ((await of(METRICS.checkpointAge)) ?? 0) > 0.3
    await expect.poll(old, soon).toBe(true)
    await run.wallet.keep(new Uint8Array(10_000))
    await run.wallet.deposit(1n)
    await expect.poll(() => of(METRICS.checkpointDuration), soon).toBe(1)
    const age = (await of(METRICS.checkpointAge)) ?? Number.NaN
    expect(age).toBeLessThan(0.3)
    expect(sumOf(await pointOf(run.meters, METRICS.checkpointDuration))).toBeGreaterThan(0)
    expect(await of(METRICS.checkpointWritten)).toBeGreaterThan(10_000)
    expect(await of(METRICS.checkpointSize)).toBeGreaterThan(sizeBefore + 10_000)
  })
})

describe("the margin of a master", () => {
  it("falls with each backup that goes, and below 0 where writes are refused", async () => {
    const semi = primaryBackup({ replication: "semi-synchronous", acknowledgements: 1 })
    await using meters = new Meters()
    await using group = await Group.start(walletIn(semi), semi)
    await using client = await group.connect()
    await client.actor(walletIn(semi), "w").deposit(1n)
    const master = group.hosts.find(({ status }) => status[0]?.reign?.isMaster === true)?.replica ?? ""
    const margin = async () => (await values(meters, METRICS.reignMargin))[master]
    await expect.poll(margin, soon).toBe(1)
    const [first = "", second = ""] = replicas.filter((replica) => replica !== master)
    await group.stop(first)
    await expect.poll(margin, soon).toBe(0)
    await group.stop(second)
    await expect.poll(margin, soon).toBe(-1)
    await group.start(first)
    await expect.poll(margin, soon).toBe(0)
  })
})

describe("a failover", () => {
  it("is counted by each replica that saw it, and a hand-over is none", async () => {
    await using stack = new AsyncDisposableStack()
    const meters = stack.use(new Meters())
    const { url } = stack.use(await startServer())
    const module = new URL("tab.ts", import.meta.url).pathname
    const hooks = new URL("../../infra/scripts/ts-hooks.mjs", import.meta.url).href
    const r0 = new ReplicaProcess(
      { servers: url, replica: "r0", module, createReplicas: replicas.join(), determinism: "guarded" },
      { NODE_OPTIONS: `--import ${hooks}` },
    )
    stack.use(r0)
    const [first] = [r0.start()]
    for (const replica of ["r1", "r2"])
      stack.use(await host({ servers: url, replica, actors: [Tab], create: { replicas } }))
    await first
    const client = stack.use(await connect({ servers: url, limits: { deadlineMs: 20_000 } }))
    const tab = client.actor(Tab, "t")
    await tab.add(1)
    const failovers = () => values(meters, METRICS.reignFailovers)
    await handOver({ servers: url, to: "r1" })
    await handOver({ servers: url, to: "r0" })
    expect(await failovers()).toEqual({ r1: 0, r2: 0 })
    await r0.kill()
    await tab.add(1)
    await expect.poll(failovers, soon).toEqual({ r1: 1, r2: 1 })
  })
})
