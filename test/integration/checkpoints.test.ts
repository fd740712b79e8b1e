import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ReplicaId } from "@lockstep/core"
import type { ReplicaProcess } from "@lockstep/replica-service/process"
import { openConnection } from "@lockstep/nats"
import { jetstreamManager } from "@nats-io/jetstream"
import { stateMachine, truncateLogs } from "lockstep"
import { describe, expect, it } from "vitest"
import { canFillDisks, emptyDisk, fillDisk } from "../chaos/replica-store.ts"
import { expectEqual, LedgerGroup, Load } from "./group.ts"
import { Ledger } from "./ledger.ts"

describe("a replica that keeps checkpoints", () => {
  it("begins at its last one when it was killed, and replays only what follows", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lockstep-data-"))
    try {
      await using group = await LedgerGroup.start({}, { dataDir, createCheckpointEveryBatches: 50 })
      await using client = await group.connect()
      const load = new Load(client)
      await load.progress(1000)
      const victim = group.replica(1)
      await expect
        .poll(async () => (await victim.status())[0]?.durable, { timeout: 10_000 })
        .toBeGreaterThan(0)
      await victim.kill()
      await load.progress(200)
      await victim.start()
      await load.progress(200)
      await load.stopAndCheck()
      await expectEqual(group.replicas)
      const restored = victim.log.findLast(({ event }) => event === "restored")
      expect(restored?.["seq"]).toBeGreaterThan(50)
      const [[mine], [others]] = await Promise.all([victim.status(), group.replica(0).status()])
      expect(mine?.executed).toBeLessThan((others?.executed ?? 0) - 500)
      expect(client.counts.dissents.size).toBe(0)
    } finally {
      rmSync(dataDir, { recursive: true, force: true })
    }
  })

  it("is killed while it takes or writes a large one, and has lost nothing", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lockstep-data-"))
    try {
      await using group = await LedgerGroup.start({}, { dataDir, createCheckpointEveryBatches: 40 })
      await using client = await group.connect()
      const load = new Load(client)
      const ledgers = Array.from({ length: 10_000 }, (_, i) => client.actor(Ledger, `many-${i}`))
      const victim = group.replica(1)
      const rounds = ["first", "second", "third"]
      for (const [i, round] of rounds.entries()) {
        expect(new Set(await Promise.all(ledgers.map((ledger) => ledger.record(round))))).toEqual(
          new Set([i]),
        )
        // the next one is due within so many batches, and takes some tenths of a second
        await load.progress(150)
        await victim.kill()
        await victim.start()
      }
      // it may have been killed before any of them was on its disk
      const isRestored = () => victim.log.some(({ event }) => event === "restored")
      for (let again = 0; again < 10 && !isRestored(); again++) {
        await load.progress(500)
        await victim.kill()
        await victim.start()
      }
      expect(isRestored()).toBe(true)
      await load.progress(400)
      await load.stopAndCheck()
      await expectEqual(group.replicas)
      // each of them attests what its checkpoints hold
      const wrong = group.replicas.flatMap(({ log }) => log.filter(({ event }) => WRONG.has(event)))
      expect(wrong).toEqual([])
      const kept = await Promise.all(
        ledgers.filter((_, i) => i % 100 === 0).map((ledger) => ledger.entries(0)),
      )
      expect(kept).toEqual(kept.map(() => rounds))
      await expect
        .poll(async () => (await victim.status())[0]?.durable, { timeout: 20_000 })
        .toBeGreaterThan(0)
      expect(client.counts.dissents.size).toBe(0)
    } finally {
      rmSync(dataDir, { recursive: true, force: true })
    }
  }, 120_000)

  it("fetches a checkpoint of its peers when the log was truncated beyond where it is", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lockstep-data-"))
    try {
      const settings = { dataDir, createCheckpointEveryBatches: 50, truncateMarginEntries: 20 }
      await using group = await LedgerGroup.start({}, settings)
      await using client = await group.connect()
      const load = new Load(client)
      await load.progress(300)
      const victim = group.replica(2)
      await victim.kill()
      rmSync(join(dataDir, "main-0-r2.sqlite"), { force: true })
      await load.progress(3000)
      await victim.start()
      await load.progress(300)
      await load.stopAndCheck()
      await expectEqual(group.replicas)
      const installed = victim.log.findLast(({ event }) => event === "installed")
      expect(installed?.["actors"]).toBeGreaterThanOrEqual(3)
      await using nats = await openConnection({ servers: group.server.url, name: "test" })
      const { streams } = await jetstreamManager(nats.nats)
      const { state } = await streams.info("LOG_main_0")
      expect(state.first_seq).toBeGreaterThan(1)
      expect(state.messages).toBeLessThan(state.last_seq / 2)
      expect(client.counts.dissents.size).toBe(0)
    } finally {
      rmSync(dataDir, { recursive: true, force: true })
    }
  })

  it.runIf(
    canFillDisks, // it takes prlimit, a tool of util-linux
  )("goes on while its disk is full, and keeps checkpoints again when it is not", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lockstep-data-"))
    try {
      await using group = await LedgerGroup.start({}, { dataDir, createCheckpointEveryBatches: 50 })
      await using client = await group.connect()
      const load = new Load(client)
      await load.progress(300)
      const victim = group.replica(1)
      const failures = () => victim.log.filter(({ event }) => event === "checkpoint-failed")
      fillDisk(victim.pid)
      await expect.poll(() => failures().length, { timeout: 10_000 }).toBeGreaterThan(0)
      expect(failures().map(({ error }) => error)).toEqual(failures().map(() => "disk I/O error"))
      await load.progress(300)
      const applied = (await victim.status())[0]?.applied ?? 0
      emptyDisk(victim.pid)
      await load.progress(600)
      const failed = failures().length
      await load.progress(300)
      expect(failures().length).toBe(failed)
      await load.stopAndCheck()
      await victim.kill()
      await victim.start()
      await expectEqual(group.replicas)
      expect(victim.log.findLast(({ event }) => event === "restored")?.["seq"]).toBeGreaterThan(applied)
      expect(client.counts.dissents.size).toBe(0)
    } finally {
      rmSync(dataDir, { recursive: true, force: true })
    }
  })

  it("heals itself when its memory was wrong once: it asks the others, and votes again when they agree", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lockstep-data-"))
    try {
      await using group = await LedgerGroup.start(
        { r1: "flip" },
        { dataDir, createCheckpointEveryBatches: 50 },
      )
      await using client = await group.connect()
      const load = new Load(client)
      const victim = group.replica(1)
      await load.progress(1000)
      await expect
        .poll(() => victim.log.some(({ event }) => event === "rejoining"), { timeout: 10_000 })
        .toBe(true)
      await expect.poll(async () => (await victim.status())[0]?.onProbation, { timeout: 20_000 }).toBe(false)
      const before = client.counts.dissents.get(ReplicaId("r1")) ?? 0
      const matched = client.counts.matched
      await load.progress(1000)
      await load.stopAndCheck()
      expect(client.counts.dissents.get(ReplicaId("r1")) ?? 0).toBe(before)
      expect(client.counts.matched).toBeGreaterThan(matched)
      expect(victim.log.some(({ event }) => event === "halted")).toBe(false)
      const evidence = victim.log.find(({ event }) => event === "rejoining")?.["evidence"]
      expect(existsSync(String(evidence))).toBe(true)
    } finally {
      rmSync(dataDir, { recursive: true, force: true })
    }
  })

  it("stops when it is wrong again: its build has a bug", async () => {
    await using group = await LedgerGroup.start({ r1: "state" }, { createCheckpointEveryBatches: 50 })
    await using client = await group.connect()
    const load = new Load(client)
    await load.progress(1500)
    await expect
      .poll(() => group.replica(1).log.find(({ event }) => event === "halted")?.["reason"], {
        timeout: 10_000,
      })
      .toBe("state-diverged")
    await load.progress(200)
    await load.stopAndCheck()
  })
})

describe("an operator who truncates the log", () => {
  it("leaves what replicas need, by what they attest in it, and they go on and come back", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lockstep-data-"))
    try {
      await using group = await LedgerGroup.start({}, { dataDir, createCheckpointEveryBatches: 50 })
      const servers = group.server.url
      const mode = stateMachine({ faults: 1, faultModel: "byzantine" })
      const [early] = await truncateLogs({ servers, mode, marginEntries: 10 })
      expect(early?.firstSeq).toBe(1)
      await using client = await group.connect()
      const load = new Load(client)
      await load.progress(2000)
      const victim = group.replica(2)
      await victim.kill()
      rmSync(join(dataDir, "main-0-r2.sqlite"), { force: true })
      const [truncated] = await truncateLogs({ servers, mode, marginEntries: 10 })
      expect(truncated?.firstSeq).toBeGreaterThan(100)
      await using nats = await openConnection({ servers, name: "test" })
      const { streams } = await jetstreamManager(nats.nats)
      expect((await streams.info("LOG_main_0")).state.first_seq).toBe(truncated?.firstSeq)
      await victim.start()
      await load.progress(300)
      await load.stopAndCheck()
      await expectEqual(group.replicas)
      expect(installs(victim)).toBe(1)
    } finally {
      rmSync(dataDir, { recursive: true, force: true })
    }
  })
})

describe("replicas that keep shards of their checkpoints", () => {
  it("get their state back from the others, one alone and all at once", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lockstep-data-"))
    try {
      const settings = { dataDir, createCheckpointEveryBatches: 50, truncateMarginEntries: 20 }
      await using group = await LedgerGroup.start({}, settings, "shards")
      await using client = await group.connect()
      const load = new Load(client)
      await load.progress(3000)
      const victim = group.replica(2)
      await victim.kill()
      await load.progress(300)
      await victim.start()
      await load.progress(300)
      await expect.poll(() => installs(victim), { timeout: 10_000 }).toBe(1)
      await Promise.all(group.replicas.map((replica) => replica.kill()))
      await Promise.all(group.replicas.map((replica) => replica.start()))
      await load.progress(300)
      await load.stopAndCheck()
      await expectEqual(group.replicas)
      expect(group.replicas.map(installs)).toEqual([1, 1, 2])
      expect(client.counts.dissents.size).toBe(0)
    } finally {
      rmSync(dataDir, { recursive: true, force: true })
    }
  })
})

function installs(replica: ReplicaProcess): number {
  return replica.log.filter(({ event }) => event === "installed").length
}

/** What tells that a replica found itself wrong, or its disk. */
const WRONG: ReadonlySet<string> = new Set(["rejoining", "halted", "failed", "checkpoint-damaged"])
