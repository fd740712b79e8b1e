import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { bucketDigest, bucketOf, GroupName, Partition, ReplicaId } from "@lockstep/core"
import type { CheckpointChanges } from "@lockstep/replication"
import fc from "fast-check"
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
    buckets: new Map(),
  }
}

const ids = ["a", "b", "c", "d", "gone"]

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

/** All rows of one checkpoint, bucket by bucket, as peers read them. */
function all(store: CheckpointStore, seq: number): Readonly<Record<string, string>> {
  const rows = new Map<string, string>()
  for (const name of ids)
    for (const [id, bytes] of store.bucket(seq, bucketOf(name))) rows.set(id, Buffer.from(bytes).toString())
  return Object.fromEntries(rows)
}

/** The versions of rows in a file, and the bytes in them. */
function rowsIn(of: { readonly partition: number }) {
  const database = new DatabaseSync(join(folder, `g-${of.partition}-r0.sqlite`), { readOnly: true })
  const sql = "SELECT count(*) AS count, coalesce(sum(length(bytes)), 0) AS bytes FROM row"
  const found = { ...database.prepare(sql).get() }
  database.close()
  return found
}

/** What is there after these changes. */
function stateOf(written: ReadonlyArray<Readonly<Record<string, string | undefined>>>) {
  const entries = written.flatMap((rows) => Object.entries(rows))
  return Object.fromEntries([...new Map(entries)].filter(([, text]) => text !== undefined))
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
    again.close()
  })

  it("holds older checkpoints beside the newest, until they are let go", () => {
    const store = new CheckpointStore(folder, place())
    store.write(changes(1, { a: "one", b: "one" }))
    store.write(changes(2, { a: "two", c: "two" }))
    store.write(changes(3, { b: undefined, c: "three" }))
    expect(all(store, 1)).toEqual({ a: "one", b: "one" })
    expect(all(store, 2)).toEqual({ a: "two", b: "one", c: "two" })
    expect(all(store, 3)).toEqual({ a: "two", c: "three" })
    store.write(changes(4, { d: "four" }), 2)
    expect([1, 2, 3, 4].map((seq) => store.manifest(seq) !== undefined)).toEqual([false, true, true, true])
    expect(all(store, 2)).toEqual({ a: "two", b: "one", c: "two" })
    expect(all(store, 3)).toEqual({ a: "two", c: "three" })
    store.close()
  })

  it("lets go of what was old before it was opened, and keeps no more than the newest needs", () => {
    const of = place()
    const store = new CheckpointStore(folder, of)
    for (let seq = 1; seq <= 20; seq++) store.write(changes(seq, { a: "x".repeat(1000), b: String(seq) }))
    store.write(changes(21, { gone: "soon" }))
    store.write(changes(22, { gone: undefined }))
    store.close()
    const again = new CheckpointStore(folder, of)
    expect(again.load()).toBeDefined()
    expect(all(again, 7)["b"]).toBe("7")
    again.write(changes(23, { b: "23" }), 23)
    expect(again.manifest(22)).toBeUndefined()
    expect(read(again)).toEqual(["header 23", { a: "x".repeat(1000), b: "23" }])
    expect(again.sizeBytes()).toBe(1002)
    again.close()
  })

  it("keeps the last one below the floor, where it has none at the floor", () => {
    const store = new CheckpointStore(folder, place())
    store.write(changes(5, { a: "five" }))
    store.write(changes(9, { a: "nine" }), 7)
    expect(all(store, 5)).toEqual({ a: "five" })
    store.close()
  })

  it("yields single rows of the newest checkpoint", () => {
    const store = new CheckpointStore(folder, place())
    store.write(changes(1, { a: "one", b: "one" }))
    store.write(changes(2, { a: "two", b: undefined }))
    expect(Buffer.from(store.read("a") ?? []).toString()).toBe("two")
    expect(store.read("b")).toBeUndefined()
    expect(store.read("c")).toBeUndefined()
    store.close()
  })

  it("gathers a checkpoint of peers, over a restart, and puts it in place of its own", () => {
    const of = place()
    const store = new CheckpointStore(folder, of)
    store.write(changes(1, { mine: "old" }))
    const rows = new Map([["theirs", Buffer.from("new")]])
    const other = new Map([["of an earlier attempt", Buffer.from("x")]])
    store.stage({ digest: bucketDigest(rows), rows })
    store.stage({ digest: bucketDigest(other), rows: other })
    store.close()
    const again = new CheckpointStore(folder, of)
    expect(new Set(again.staged())).toEqual(new Set([bucketDigest(rows), bucketDigest(other)]))
    const buckets = new Map([[bucketOf("theirs"), bucketDigest(rows)]])
    again.install({ seq: 9, header: Buffer.from("header 9"), buckets })
    expect(read(again)).toEqual(["header 9", { theirs: "new" }])
    expect(again.staged()).toEqual([])
    expect(again.manifest(9)?.buckets[bucketOf("theirs")]).toBe(bucketDigest(rows))
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

  it("is written a part at a time: what nobody goes on with is not there, and what was there can be read meanwhile", () => {
    const of = place()
    let store = new CheckpointStore(folder, of)
    const rows = (text: string) =>
      Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`row ${i}`, text]))
    store.write(changes(1, { ...rows("one"), kept: "one" }))
    store.write(changes(2, rows("two")))
    const parts = store.writing(changes(3, rows("three")), 2)
    let count = 0
    // all but its end
    for (; count < 40; count++) expect(parts.next().done).toBe(false)
    expect(Buffer.from(store.manifest(2)?.header ?? []).toString()).toBe("header 2")
    expect(Buffer.from(store.bucket(2, bucketOf("row 7")).get("row 7") ?? []).toString()).toBe("two")
    expect(Buffer.from(store.read("kept") ?? []).toString()).toBe("one")
    parts.return()
    expect(store.manifest(3)).toBeUndefined()
    expect(read(store)).toEqual(["header 2", { ...rows("two"), kept: "one" }])
    // the process ends while it is written
    store.writing(changes(3, rows("three")), 2).next()
    store.close()
    store = new CheckpointStore(folder, of)
    expect(read(store)).toEqual(["header 2", { ...rows("two"), kept: "one" }])
    store.write(changes(3, rows("three")), 3)
    expect(read(store)).toEqual(["header 3", { ...rows("three"), kept: "one" }])
    expect(rowsIn(of)["count"]).toBe(3001)
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

  it("holds what its checkpoints need and nothing else, whatever is written, let go and opened again", () => {
    const row = fc.option(fc.stringMatching(/^[a-z]{1,9}$/), { nil: undefined })
    const step = fc.record({
      rows: fc.dictionary(fc.constantFrom(...ids), row, { minKeys: 1 }),
      // how far behind the checkpoint that is written the floor is
      behind: fc.nat(6),
      isOpenedAgain: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 15 }), (steps) => {
        const of = place()
        let store = new CheckpointStore(folder, of)
        const written: Array<Readonly<Record<string, string | undefined>>> = [{ a: "1", b: "2", c: "3" }]
        store.write(changes(1, written[0] ?? {}))
        let floor = 0
        for (const { rows, behind, isOpenedAgain } of steps) {
          const seq = written.push(rows)
          floor = Math.max(floor, seq - behind)
          store.write(changes(seq, rows), floor)
          if (isOpenedAgain) {
            store.close()
            store = new CheckpointStore(folder, of)
            store.load()
          }
          const oldest = Math.max(1, floor)
          for (let at = oldest; at <= seq; at++) expect(all(store, at)).toEqual(stateOf(written.slice(0, at)))
          expect(store.manifest(oldest - 1)).toBeUndefined()
          const versions = [stateOf(written.slice(0, oldest)), ...written.slice(oldest)].flatMap(
            Object.values,
          )
          expect(rowsIn(of)).toEqual({ count: versions.length, bytes: versions.join("").length })
        }
        store.close()
      }),
      { numRuns: 40 },
    )
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
