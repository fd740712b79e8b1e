import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { bucketDigest, GroupName, Partition, ReplicaId } from "@lockstep/core"
import type { Checkpoint, CheckpointChanges } from "@lockstep/replication"
import { afterAll, describe, expect, it } from "vitest"
import type { HostEvent } from "../src/host.ts"
import { Keeper } from "../src/keeper.ts"

const folder = mkdtempSync(join(tmpdir(), "lockstep-keeper-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const ROWS = 10_000

let partition = 0
/** A keeper of a place that no other test uses, and what it tells. */
function keeper(at = partition++) {
  const events: Array<HostEvent> = []
  const kept: Array<number> = []
  const of = {
    group: GroupName("g"),
    replica: ReplicaId("r0"),
    partition: Partition(at),
    logId: "log",
    storage: "copies",
  } as const
  const opened = new Keeper(
    folder,
    of,
    (event) => events.push(event),
    (seq) => kept.push(seq),
  )
  return { keeper: opened, events, kept, again: () => keeper(at) }
}

function changes(seq: number, rows: Iterable<string>): CheckpointChanges {
  return {
    seq,
    header: Buffer.from(`header ${seq}`),
    state: "" as CheckpointChanges["state"],
    rows: new Map([...rows].map((id) => [id, Buffer.from(`${seq}`)])),
    buckets: new Map(),
  }
}

const MANY = Array.from({ length: ROWS }, (_, i) => `row ${i}`)

function restored(of: Keeper): readonly [header: string, rows: ReadonlyMap<string, string>] | undefined {
  return of.restore(({ header, rows }: Checkpoint) => {
    const texts = [...rows].map(([id, bytes]) => [id, Buffer.from(bytes).toString()] as const)
    return [Buffer.from(header).toString(), new Map(texts)] as const
  })
}

describe("a checkpoint of many rows", () => {
  it("is written while other things happen, and the next one after it", async () => {
    const { keeper: own, kept, again } = keeper()
    own.keep(changes(1, MANY))
    await sleep(3)
    own.keep(changes(2, ["a"]))
    own.keep(changes(3, ["b"]))
    let turns = 1
    for (; kept.length === 0; turns++) await sleep(1)
    expect(turns).toBeGreaterThan(5)
    await expect.poll(() => kept).toEqual([1, 3])
    own.close()
    const [header, rows] = restored(again().keeper) ?? []
    expect([header, rows?.size, rows?.get("row 7"), rows?.get("a"), rows?.get("b")]).toEqual([
      "header 3",
      ROWS + 2,
      "1",
      "2",
      "3",
    ])
  })

  it("is completed first where a bucket of a peer's is to be put aside", async () => {
    const { keeper: own, kept } = keeper()
    own.keep(changes(1, MANY))
    await sleep(3)
    const rows = new Map([["theirs", Buffer.from("row")]])
    own.stage({ digest: bucketDigest(rows), rows })
    expect(kept).toEqual([1])
    expect(own.begin().staged).toEqual([bucketDigest(rows)])
    own.close()
  })

  it("is nowhere where another takes its place, or the keeper is closed, while it is written", async () => {
    const { keeper: own, kept, again } = keeper()
    own.keep(changes(1, ["a"]))
    await expect.poll(() => kept).toEqual([1])
    own.keep(changes(2, MANY))
    await sleep(3)
    own.close()
    const next = again()
    expect(restored(next.keeper)).toEqual(["header 1", new Map([["a", "1"]])])
    next.keeper.keep(changes(2, MANY))
    await sleep(3)
    next.keeper.install({ seq: 9, header: Buffer.from("header 9"), buckets: new Map() })
    for (let i = 0; i < 50; i++) await sleep(1)
    expect([next.kept, next.events]).toEqual([[], []])
    expect(restored(next.keeper)).toEqual(["header 9", new Map()])
    next.keeper.close()
  })
})
