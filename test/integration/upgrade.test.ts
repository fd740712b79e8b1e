import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { upgradeSchema } from "lockstep"
import { describe, expect, it } from "vitest"
import { expectEqual, LedgerGroup, ledgerReplica, Load } from "./group.ts"
import { NextLedger } from "./ledger.ts"

const soon = { timeout: 20_000 }

describe.each(["copies", "shards"] as const)(
  "an upgrade under load, with checkpoints that are kept as %s",
  (checkpoints) => {
    it("loses and doubles nothing, and a replica that was down for it fetches what it begins with", async () => {
      const dataDir = mkdtempSync(join(tmpdir(), "lockstep-data-"))
      const env = { BUILD: "2", ...(checkpoints === "shards" && { CHECKPOINTS: checkpoints }) } as const
      try {
        const settings = { dataDir, createCheckpointEveryBatches: 50, truncateMarginEntries: 300 }
        await using group = await LedgerGroup.start({}, settings, checkpoints)
        const { url: servers } = group.server
        await using client = await group.connect({ limits: { deadlineMs: 30_000 } })
        const load = new Load(client)
        await load.progress(1000)
        // of shards, two must be there: all three hold one
        if (checkpoints === "copies") await group.replica(2).kill()
        await load.progress(500)

        const [seq] = await upgradeSchema({ servers, actors: [NextLedger] })
        expect(seq).toBeGreaterThan(100)
        const old = group.replicas.filter(({ running }) => running)
        for (const replica of old) {
          await expect.poll(async () => (await replica.status())[0]?.waits, soon).toBeDefined()
          const [status] = await replica.status()
          expect(status).toMatchObject({ applied: seq, schema: 2 })
          expect(status?.waits).toMatch(/test\/Ledger has version 2, and this build has version 1/)
        }
        const before = load.answers.size
        for (const replica of group.replicas) await replica.kill()

        await using r0 = ledgerReplica({ servers, replica: "r0", ...settings }, env)
        await using r1 = ledgerReplica({ servers, replica: "r1", ...settings }, env)
        await using r2 = ledgerReplica({ servers, replica: "r2", ...settings }, env)
        await Promise.all([r0.spawn(), r1.spawn()])
        await load.progress(1000)
        await r2.start()
        await load.progress(500)
        await load.stopAndCheck()
        await expectEqual([r0, r1, r2])
        expect(client.counts.dissents.size).toBe(0)
        const begun = [
          r0.log.some(({ event, seq: at }) => event === "restored" && at === seq),
          r2.log.some(({ event }) => event === "installed"),
        ]
        expect(begun).toEqual([checkpoints === "copies", true])
        const inherited = await Promise.all(
          ["key-0", "key-1", "key-2"].map((key) => client.actor(NextLedger, key).inheritance()),
        )
        const sum = inherited.reduce((total, count) => total + count, 0)
        expect(sum).toBeGreaterThanOrEqual(before)
        expect(sum).toBeLessThan(before + 100)
        // what they hold is attested alike by all of them
        await expect.poll(async () => (await r2.status())[0]?.durable, soon).toBeGreaterThan(seq ?? 0)
      } finally {
        rmSync(dataDir, { recursive: true, force: true })
      }
    })
  },
)
