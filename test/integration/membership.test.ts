import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ReplicaProcess } from "@lockstep/replica-service/process"
import { changeMembership, connect, MarginTooSmall, NoQuorum, primaryBackup, stateMachine } from "lockstep"
import { startServer } from "lockstep/develop"
import { describe, expect, it } from "vitest"
import { expectEqual, LedgerGroup, ledgerReplica, Load, TYPESCRIPT } from "./group.ts"
import { OnceLedger } from "./once-ledger.ts"

const mode = stateMachine({ faults: 1, faultModel: "byzantine" })
const once = primaryBackup({ replication: "synchronous" })
const soon = { timeout: 20_000 }

describe("a replica that is gone for good", () => {
  it("is replaced by a standby under load, and has no vote when it comes back", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lockstep-data-"))
    try {
      const settings = { dataDir, createCheckpointEveryBatches: 50, truncateMarginEntries: 300 }
      await using group = await LedgerGroup.start({}, settings)
      const { url: servers } = group.server
      await using client = await group.connect()
      const load = new Load(client)
      await load.progress(4000)
      await group.replica(2).kill()
      // the log's beginning is truncated by now: a new replica fetches a checkpoint
      await using spare = ledgerReplica({ servers, replica: "r3", standby: "true", ...settings })
      await spare.start()
      expect((await spare.status())[0]).toMatchObject({ role: "unlisted", epoch: 1 })
      await load.progress(200)

      const changed = await changeMembership({ servers, mode, voters: ["r0", "r1", "r3"] })
      expect(changed.rosters).toEqual([{ epoch: 2, voters: ["r0", "r1", "r3"], standbys: [] }])
      await load.progress(200)
      expect((await spare.status())[0]).toMatchObject({ role: "voter", epoch: 2 })

      // nothing is left to spare: without r1, the new one's votes are needed
      await group.replica(1).kill()
      await load.progress(200)
      await group.replica(1).start()

      const matched = client.counts.matched
      await group.replica(2).start()
      await expect.poll(async () => (await group.replica(2).status())[0]?.epoch, soon).toBe(2)
      expect((await group.replica(2).status())[0]?.role).toBe("unlisted")
      await load.progress(200)
      await load.stopAndCheck()
      expect(client.counts.matched).toBeGreaterThan(matched)
      expect(client.counts.dissents.size).toBe(0)
      await expectEqual([...group.replicas, spare])
      const events = spare.log.filter(({ event }) => event === "membership")
      expect(events.at(-1)).toMatchObject({ epoch: 2, role: "voter", voters: ["r0", "r1", "r3"] })

      // a caller who comes now finds the new voters; saying the same again changes nothing
      await using other = await group.connect()
      expect(other.group.rosters[0]?.voters).toEqual(["r0", "r1", "r3"])
      const again = await changeMembership({ servers, mode, voters: ["r3", "r1", "r0"] })
      expect(again.rosters[0]?.epoch).toBe(2)
    } finally {
      rmSync(dataDir, { recursive: true, force: true })
    }
  })
})

describe("a membership that could not answer", () => {
  it("is refused, and the error says who is missing: nothing is changed", async () => {
    await using group = await LedgerGroup.start()
    const { url: servers } = group.server
    await using client = await group.connect()
    const load = new Load(client)
    await load.progress(100)

    const ghost = await rejection(changeMembership({ servers, mode, voters: ["r0", "r1", "r9"] }))
    expect(ghost).toMatchObject({ partition: 0, margin: 0, unfit: [{ replica: "r9", applied: undefined }] })
    expect(ghost.message).toMatch(
      /a replica that gets a vote must be fit.*r9 is not heard of.*Start what is missing/,
    )

    await group.replica(2).kill()
    const tooFew = await rejection(changeMembership({ servers, mode, voters: ["r1", "r2"] }))
    expect(tooFew).toMatchObject({ margin: -1, unfit: [{ replica: "r2" }] })
    expect(tooFew.message).toMatch(/1 too few are fit to decide anything: r2 /)

    await load.progress(100)
    await load.stopAndCheck()
    expect((await group.replica(0).status())[0]).toMatchObject({ epoch: 1, role: "voter" })
  })
})

async function rejection(changing: Promise<unknown>): Promise<MarginTooSmall> {
  const error: unknown = await changing.then(
    () => undefined,
    (cause: unknown) => cause,
  )
  if (error instanceof MarginTooSmall) return error
  throw new Error(`it was not refused: ${String(error)}`)
}

describe("a group with a primary, all of which was killed, and one of which never comes back", () => {
  it("elects nobody until an operator removes that one, and has everything then", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lockstep-data-"))
    await using stack = new AsyncDisposableStack()
    stack.defer(() => rmSync(dataDir, { recursive: true, force: true }))
    const server = await startServer()
    stack.defer(() => server.stop())
    const names = ["r0", "r1", "r2"]
    const module = new URL("once-ledger.ts", import.meta.url).pathname
    const replicas = names.map((replica) =>
      stack.use(
        new ReplicaProcess(
          { servers: server.url, replica, module, createReplicas: names.join(","), dataDir },
          TYPESCRIPT,
        ),
      ),
    )
    await Promise.all(replicas.map((replica) => replica.start()))
    const client = stack.use(await connect({ servers: server.url, limits: { deadlineMs: 4000 } }))
    const ledger = client.actor(OnceLedger, "key")
    const inSync = async () => (await replicas[0]?.status())?.[0]?.reign?.inSync.toSorted()
    await expect.poll(inSync, soon).toEqual(names)
    expect(await ledger.record("before")).toBe(0)
    await Promise.all(replicas.map((replica) => replica.kill()))
    await Promise.all(replicas.slice(0, 2).map((replica) => replica.start()))
    // they have offered themselves by then
    await expect(ledger.record("too early")).rejects.toBeInstanceOf(NoQuorum)
    await changeMembership({ servers: server.url, mode: once, voters: names.slice(0, 2) })
    expect(await ledger.record("after")).toBe(1)
    expect(await ledger.all()).toEqual(["before", "after"])
  })
})
