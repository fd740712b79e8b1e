import type { ReplicationMode } from "@lockstep/replication"
import {
  type ActorClass,
  ActorError,
  Command,
  connect,
  host,
  primaryBackup,
  Replicated,
  stateMachine,
} from "lockstep"
import { startServer } from "lockstep/develop"
import { AggregationTemporality } from "@opentelemetry/sdk-metrics"
import { describe, expect, it } from "vitest"
import { METRICS } from "../../framework/runtime/src/telemetry/metrics.ts"
import { Group } from "../conformance/group.ts"
import { walletIn } from "../conformance/wallet.ts"
import { Meters } from "../telemetry/meters.ts"
import { numberOf, pointOf, sumOf, values } from "../telemetry/points.ts"
import { Receiver } from "../telemetry/receiver.ts"
import { LedgerGroup } from "./group.ts"
import { Ledger } from "./ledger.ts"

const voted = stateMachine({ faults: 1, faultModel: "byzantine" })
const once = primaryBackup({ replication: "synchronous" })
const soon = { timeout: 20_000 }

async function begun(
  mode: ReplicationMode,
  temporality = AggregationTemporality.CUMULATIVE,
  checkpointEveryBatches = 1000,
) {
  const stack = new AsyncDisposableStack()
  const meters = stack.use(new Meters(temporality))
  const actor = walletIn(mode)
  const group = stack.use(await Group.start(actor, mode, { checkpointEveryBatches }))
  const client = stack.use(await group.connect())
  const wallet = client.actor(actor, "the key of an actor")
  return { actor, meters, group, client, wallet, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const names = async (meters: Meters) => new Set((await meters.collect()).map(({ name }) => name))
const all = Object.values(METRICS)
/** There is nothing to measure where one replica decides. */
const ofVotes: ReadonlySet<string> = new Set(
  [METRICS.voteDuration, METRICS.appendDuration, METRICS.margin].map(({ name }) => name),
)

describe("metrics of replicas that vote", () => {
  it("say how long calls took, what was voted, and how each replica is", async () => {
    await using run = await begun(voted)
    for (let i = 0; i < 3; i++) await run.wallet.deposit(5n)
    await expect(run.wallet.withdraw(100n)).rejects.toThrow(ActorError)
    await expect.poll(() => run.client.counts.matched, soon).toBe(15)
    const { meters } = run
    expect(await values(meters, METRICS.callDuration)).toEqual({
      "lockstep conformance/Wallet/deposit ": 3,
      "lockstep conformance/Wallet/withdraw Overdrawn": 1,
    })
    expect(await values(meters, METRICS.commands)).toEqual({ "": 4 })
    expect(await values(meters, METRICS.batches)).toEqual({ "": 4 })
    expect(await values(meters, METRICS.votesMatched)).toEqual({ r0: 5, r1: 5, r2: 5 })
    expect(await values(meters, METRICS.votesDissented)).toEqual({ r0: 0, r1: 0, r2: 0 })
    expect(await values(meters, METRICS.executed)).toEqual({ r0: 4, r1: 4, r2: 4 })
    expect(await values(meters, METRICS.actors)).toEqual({ r0: 1, r1: 1, r2: 1 })
    expect(await values(meters, METRICS.sessions)).toEqual({ r0: 1, r1: 1, r2: 1 })
    expect(await values(meters, METRICS.applied)).toEqual({ r0: 5, r1: 5, r2: 5 })
    expect(await values(meters, METRICS.state)).toMatchObject({ "r0 following": 1, "r0 halted": 0 })
    expect(await values(meters, METRICS.role)).toMatchObject({ "r1 voter": 1, "r1 standby": 0 })
    expect(await values(meters, METRICS.events)).toMatchObject({ "r2 caught-up": 1, "r2 rejoining": 0 })
  })

  it("measure seconds, from the turn of the call", async () => {
    await using run = await begun(voted)
    const startMs = performance.now()
    await run.wallet.deposit(1n)
    const tookMs = performance.now() - startMs
    const point = await pointOf(run.meters, METRICS.callDuration)
    expect(point && numberOf(point)).toBe(1)
    expect(sumOf(point)).toBeGreaterThan(0)
    expect(sumOf(point)).toBeLessThanOrEqual(tookMs / 1000)
  })

  it("measure the vote, and the log's acknowledgement, once for each batch", async () => {
    await using run = await begun(voted)
    const startMs = performance.now()
    await Promise.all(Array.from({ length: 100 }, () => run.wallet.deposit(1n)))
    await run.wallet.deposit(1n)
    const tookMs = performance.now() - startMs
    expect(run.client.counts.batches).toBe(2)
    expect(await values(run.meters, METRICS.voteDuration)).toEqual({ "": 2 })
    await expect.poll(() => values(run.meters, METRICS.appendDuration), soon).toEqual({ "": 2 })
    for (const metric of [METRICS.voteDuration, METRICS.appendDuration]) {
      const sum = sumOf(await pointOf(run.meters, metric))
      expect(sum).toBeGreaterThan(0)
      expect(sum).toBeLessThanOrEqual(tookMs / 1000)
    }
  })

  it("say how many commands wait, and how many batches are not sent for that", async () => {
    await using run = await begun(voted)
    await using client = await run.group.connect(20_000, { windowMax: 1 })
    const wallet = client.actor(run.actor, "w")
    await wallet.deposit(1n)
    expect(await values(run.meters, METRICS.waiting)).toEqual({ "": 0 })
    await run.group.stopAll()
    const calls = Array.from({ length: 5 }, () => wallet.deposit(1n))
    await expect.poll(() => client.counts.batches).toBe(2)
    calls.push(wallet.deposit(1n), wallet.deposit(1n))
    // those of one turn are handed over at its end
    await expect.poll(() => values(run.meters, METRICS.waiting)).toEqual({ "": 7 })
    expect(await values(run.meters, METRICS.unsent)).toEqual({ "": 1 })
    await run.group.startAll()
    await Promise.all(calls)
    expect(await values(run.meters, METRICS.waiting)).toEqual({ "": 0 })
    expect(await values(run.meters, METRICS.unsent)).toEqual({ "": 0 })
  })

  it("say how many more replicas may fail, as soon as one owes a vote for a second", async () => {
    await using run = await begun(voted)
    expect(await values(run.meters, METRICS.margin)).toEqual({})
    const margin = async () => {
      await run.wallet.deposit(1n)
      return (await values(run.meters, METRICS.margin))[""]
    }
    expect(await margin()).toBe(1)
    await run.group.stop("r1")
    await expect.poll(margin, { ...soon, interval: 200 }).toBe(0)
    await run.group.start("r1")
    await expect.poll(margin, soon).toBe(1)
  })

  it("are those of the table, with the attributes that it says, and the key of no actor", async () => {
    await using run = await begun(voted, AggregationTemporality.CUMULATIVE, 1)
    await run.wallet.deposit(1n)
    const points = await run.meters.collect()
    const ofMasters = (name: string): boolean => name.startsWith("lockstep.reign.")
    await expect
      .poll(() => names(run.meters), soon)
      .toEqual(new Set(all.map(({ name }) => name).filter((name) => !ofMasters(name))))
    const allowed = new Map<string, ReadonlyArray<string>>(
      all.map(({ name, attributes }) => [name, attributes]),
    )
    expect(
      points.flatMap(({ name, attributes }) =>
        Object.keys(attributes).filter((attribute) => allowed.get(name)?.includes(attribute) !== true),
      ),
    ).toEqual([])
    expect(JSON.stringify(points)).not.toContain("the key of an actor")
  })

  it("leave nothing behind: not of a client that is closed, nor of a host that is drained", async () => {
    // otherwise this SDK repeats what was observed last (open-telemetry/opentelemetry-js#2997)
    await using run = await begun(voted, AggregationTemporality.DELTA)
    await run.wallet.deposit(1n)
    expect(Object.keys(await values(run.meters, METRICS.applied))).toEqual(["r0", "r1", "r2"])
    await run.group.stop("r1")
    expect(Object.keys(await values(run.meters, METRICS.applied))).toEqual(["r0", "r2"])
    await run.client.close()
    expect(await values(run.meters, METRICS.commands)).toEqual({})
    await run.group.stopAll()
    expect(await run.meters.collect()).toEqual([])
  })

  it("tell the clients of a process as one, and forget nothing of those that were closed before", async () => {
    await using run = await begun(voted)
    await run.wallet.deposit(1n)
    const other = await run.group.connect()
    await other.actor(run.actor, "w").deposit(1n)
    await other.actor(run.actor, "w").deposit(1n)
    expect(await values(run.meters, METRICS.commands)).toEqual({ "": 3 })
    await other.close()
    expect(await values(run.meters, METRICS.commands)).toEqual({ "": 3 })
    await run.wallet.deposit(1n)
    expect(await values(run.meters, METRICS.commands)).toEqual({ "": 4 })
  })

  it("name the error of a call that nobody answers", async () => {
    await using run = await begun(voted)
    await using hasty = await run.group.connect(400)
    const wallet = hasty.actor(run.actor, "w")
    await wallet.deposit(1n)
    await run.group.stopAll()
    await expect(wallet.deposit(1n)).rejects.toThrow()
    const failed = (await run.meters.collect()).find(
      ({ attributes }) => attributes["error.type"] === "NoQuorum",
    )
    expect(sumOf(failed)).toBeGreaterThanOrEqual(0.4)
  })

  it("tell only so many errors apart: an actor may make their codes up as it goes", async () => {
    await using meters = new Meters()
    await using group = await Group.start(counting(1), voted)
    await using client = await group.connect()
    const counter = client.actor(counting(1), "c")
    await Promise.allSettled(Array.from({ length: 70 }, (_, i) => counter.refuse(`Code${i}`)))
    const refused = "lockstep metrics/Counting/refuse"
    const calls = await values(meters, METRICS.callDuration)
    expect(Object.keys(calls)).toHaveLength(65)
    expect(calls).toMatchObject({ [`${refused} Code63`]: 1, [`${refused} _OTHER`]: 6 })
  })

  it("name the replica that is wrong, and what became of it", async () => {
    await using meters = new Meters()
    await using server = await startServer()
    await using stack = new AsyncDisposableStack()
    const replicas = ["r0", "r1", "r2"]
    for (const replica of replicas)
      stack.use(
        await host({
          servers: server.url,
          replica,
          actors: [replica === "r1" ? counting(2) : counting(1)],
          create: { replicas, checkpointEveryBatches: 4 },
          determinism: "guarded",
        }),
      )
    const client = stack.use(await connect({ servers: server.url }))
    const counter = client.actor(counting(1), "c")
    const rejoins = async () => {
      await counter.add()
      return (await values(meters, METRICS.rejoins))["r1 state-diverged"]
    }
    await expect.poll(rejoins, soon).toBe(1)
    const { r0, r1 = 0, r2 } = await values(meters, METRICS.votesDissented)
    expect([r0, r1 > 0, r2]).toEqual([0, true, 0])
    expect(await values(meters, METRICS.margin)).toEqual({ "": 0 })
    expect(await values(meters, METRICS.events)).toMatchObject({ "r1 rejoining": 1, "r0 rejoining": 0 })
    // it began anew, was wrong again, and gave up
    await expect
      .poll(() => values(meters, METRICS.state), soon)
      .toMatchObject({ "r0 following": 1, "r1 following": 0, "r1 halted": 1 })
  })
})

describe("metrics of replicas with a master", () => {
  it("say who is the master, and how far the others are", async () => {
    await using run = await begun(once, AggregationTemporality.CUMULATIVE, 1)
    const { meters } = run
    for (let i = 0; i < 3; i++) await run.wallet.deposit(5n)
    const [master = "", ...others] = run.group.hosts
      .filter(({ status }) => status[0]?.reign?.isMaster === true)
      .map(({ replica }) => replica)
    expect(others).toEqual([])
    expect(await values(meters, METRICS.reignMaster)).toMatchObject({ [master]: 1 })
    const backups = run.group.names.filter((name) => name !== master)
    await expect
      .poll(() => values(meters, METRICS.reignLag), soon)
      .toEqual(Object.fromEntries(backups.map((backup) => [`${master} ${backup}`, 0])))
    expect((await values(meters, METRICS.reignInSync))[master]).toBe(run.group.names.length)
    expect((await values(meters, METRICS.reignLossWindow))[master]).toBe(0)
    expect((await values(meters, METRICS.reignDegraded))[master]).toBe(0)
    await expect
      .poll(() => names(meters), soon)
      .toEqual(new Set(all.map(({ name }) => name).filter((name) => !ofVotes.has(name))))
    expect((await values(meters, METRICS.reignMargin))[master]).toBe(2)
    const { [master]: before = 0 } = await values(meters, METRICS.reignEpoch)
    await run.group.stop(master)
    await run.wallet.deposit(1n)
    const after = await values(meters, METRICS.reignEpoch)
    expect(Math.max(...backups.map((backup) => after[backup] ?? 0))).toBe(before + 1)
    const margins = async () => Object.entries(await values(meters, METRICS.reignMargin))
    await expect
      .poll(async () => (await margins()).filter(([of]) => of !== master).map(([, n]) => n), soon)
      .toEqual([1])
  })
})

describe("replica processes", () => {
  it("export what they measure, each under its name, and need export no spans for it", async () => {
    await using receiver = await Receiver.start()
    const telemetry = {
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${receiver.url}/v1/metrics`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_METRIC_EXPORT_INTERVAL: "100",
      OTEL_METRIC_EXPORT_TIMEOUT: "100",
      OTEL_TRACES_EXPORTER: "none",
      OTEL_LOGS_EXPORTER: "none",
    }
    await using group = await LedgerGroup.start({}, {}, "copies", telemetry)
    await using client = await group.connect()
    await client.actor(Ledger, "key").record("entry")
    // these have no disk, and keep no checkpoints
    const seats = all
      .map(({ name }) => name)
      .filter((name) => /^(rpc\.server|lockstep\.replica)\./.test(name))
      .filter((name) => !/checkpoint\.(duration|written|size|age)$/.test(name))
    for (const replica of ["r0", "r1", "r2"])
      await expect.poll(() => receiver.metrics.get(replica), soon).toEqual(new Set(seats))
    expect([receiver.spans, receiver.refused]).toEqual([[], []])
  })
})

interface Counting {
  add(): number
  /** Throws an ActorError of this code. */
  refuse(code: string): void
}

/** Replicas that are given different steps say different things. */
function counting(step: number): ActorClass<Counting> {
  @Replicated({ name: "metrics/Counting", version: 1, mode: voted })
  class Counter implements Counting {
    count = 0

    @Command()
    add(): number {
      this.count += step
      return this.count
    }

    @Command()
    refuse(code: string): void {
      throw new ActorError(code)
    }
  }
  return Counter
}
