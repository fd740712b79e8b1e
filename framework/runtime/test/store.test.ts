import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { GroupName, Partition, ReplicaId } from "@lockstep/core"
import type { CheckpointChanges } from "@lockstep/replication"
import { afterAll, describe, expect, it } from "vitest"
import { CheckpointStore } from "../src/store.ts"

const folder = mkdtempSync(join(tmpdir(), "lockstep-store-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let partition = 0
/** A partition that no other test uses. */
function place(logId = "log") {
  return { group: GroupName("g"), replica: ReplicaId("r0"), partition: Partition(partition++), logId }
}

function changes(seq: number, rows: Readonly<Record<string, string | undefined>>): CheckpointChanges {
  const bytes = Object.entries(rows).map(
    ([id, text]) => [id, text === undefined ? undefined : Buffer.from(text)] as const,
  )
  return {
    seq,
    header: Buffer.from(`header ${seq}`),
    state: "" as CheckpointChanges["state"],
    rows: new Map(bytes),
  }
}

function read(store: CheckpointStore) {
  const checkpoint = store.load()
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()
  return (
    checkpoint && [
      text(checkpoint.header),
      Object.fromEntries([...checkpoint.rows].map(([id, bytes]) => [id, text(bytes)])),
    ]
  )
}

describe("a store of checkpoints", () => {
  it("holds nothing at first, and then what was written last, over a restart", () => {
    const of = place()
    const store = new CheckpointStore(folder, of)
    expect(store.load()).toBeUndefined()
    store.write(changes(7, { a: "one", b: "two" }))
    store.write(changes(9, { a: undefined, b: "three", "c\0d": "" }))
    store.close()
    const again = new CheckpointStore(folder, of)
    expect(read(again)).toEqual(["header 9", { b: "three", "c\0d": "" }])
    expect(again.sizeBytes()).toBe(5)
    again.close()
  })

  it("holds all of a checkpoint or nothing of it", () => {
    const store = new CheckpointStore(folder, place())
    store.write(changes(1, { a: "one" }))
    const broken = changes(2, { a: "two", b: "three" })
    const wrong = { ...broken, rows: new Map([...broken.rows, ["c", {} as Uint8Array]]) }
    expect(() => store.write(wrong)).toThrow(/./)
    expect(read(store)).toEqual(["header 1", { a: "one" }])
    store.close()
  })

  it("forgets the checkpoint of a log that was made again", () => {
    const of = place("old log")
    const store = new CheckpointStore(folder, of)
    store.write(changes(1, { a: "one" }))
    store.close()
    const other = new CheckpointStore(folder, { ...of, logId: "new log" })
    expect(other.load()).toBeUndefined()
    other.close()
  })

  it("says so when its file is not a database any more", () => {
    const of = place()
    const store = new CheckpointStore(folder, of)
    store.write(changes(1, { a: "x".repeat(100_000) }))
    store.close()
    truncateSync(join(folder, `g-${of.partition}-r0.sqlite`), 5000)
    const again = new CheckpointStore(folder, of)
    expect(() => again.load()).toThrow(/malformed|not a database/)
    again.recreate()
    expect(again.load()).toBeUndefined()
    again.write(changes(2, { a: "two" }))
    expect(read(again)).toEqual(["header 2", { a: "two" }])
    again.close()
  })

  it("is begun anew when its file is garbage", () => {
    const of = place()
    writeFileSync(
      join(folder, `g-${of.partition}-r0.sqlite`),
      "not a database at all, but long enough to look at".repeat(50),
    )
    const store = new CheckpointStore(folder, of)
    expect(() => store.load()).toThrow(/not a database/)
    store.recreate()
    store.write(changes(2, { a: "two" }))
    expect(read(store)).toEqual(["header 2", { a: "two" }])
    store.close()
  })
})
