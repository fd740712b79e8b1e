import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest"
import { files, fifty, openJournal, reopened, written } from "./open-journal.ts"

const root = mkdtempSync(join(tmpdir(), "lockstep-journal-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let folder = root
beforeEach(() => {
  folder = mkdtempSync(join(root, "case-"))
})

describe("a journal that was damaged", () => {
  it("at its end keeps the records that are whole, wherever it was torn", async () => {
    await written(folder, 1, fifty.slice(0, 6))
    const [name = ""] = files(folder)
    const file = join(folder, name)
    const whole = readFileSync(file)
    const seen = new Set<number>()
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(file, whole)
      truncateSync(file, length)
      const { texts } = await reopened(folder)
      expect(texts).toEqual(fifty.slice(0, texts.length))
      expect(texts.length).toBeLessThan(6)
      seen.add(texts.length)
      // what was cut off stays away
      expect(await reopened(folder)).toEqual({ texts, cut: [] })
    }
    expect([...seen]).toEqual([0, 1, 2, 3, 4, 5])
  })

  it("by one flipped bit anywhere ends before it, and goes on from there", async () => {
    await written(folder, 1, fifty, 400)
    const kept = new Map(files(folder).map((name) => [name, readFileSync(join(folder, name))]))
    const places = [...kept].flatMap(([name, bytes]) =>
      Array.from({ length: bytes.length }, (_, at) => ({ name, at })),
    )
    const all = places.length * 8
    for (let bit = 0; bit < all; bit += 131) {
      const { name, at } = places[Math.floor(bit / 8)] ?? { name: "", at: 0 }
      for (const [file, bytes] of kept) writeFileSync(join(folder, file), bytes)
      const rotten = Buffer.from(kept.get(name) ?? "")
      rotten.writeUInt8(rotten.readUInt8(at) ^ (1 << (bit % 8)), at)
      writeFileSync(join(folder, name), rotten)
      const { texts, cut } = await reopened(folder, { segmentBytesMax: 400 })
      expect(texts.length).toBeLessThan(50)
      expect(texts).toEqual(fifty.slice(0, texts.length))
      expect(cut).toMatchObject([{ position: texts.length }])
      const { journal, put, settled } = openJournal(folder, { segmentBytesMax: 400 })
      put(texts.length + 1, "after")
      await settled()
      await journal.close()
      expect((await reopened(folder)).texts).toEqual([...texts, "after"])
      for (const file of files(folder)) rmSync(join(folder, file))
    }
  })

  it("by a file that is gone ends before it", async () => {
    await written(folder, 1, fifty, 200)
    const [, , third = ""] = files(folder)
    rmSync(join(folder, third))
    const { texts } = await reopened(folder)
    expect(texts).toEqual(fifty.slice(0, Number(third.split(".")[1]) - 1))
    expect(files(folder)).toHaveLength(2)
  })

  it("is put away where it is of another log", async () => {
    await written(folder, 1, fifty, 200)
    const before = files(folder)
    expect((await reopened(folder, { logId: "made again" })).texts).toEqual([])
    expect(files(folder)).toEqual(before.map((name) => `${name}.put-away`))
    expect((await reopened(folder)).texts).toEqual([])
  })
})

describe("a disk that refuses", () => {
  it("is told of once, and nothing overtakes the write that it refused", async () => {
    const { journal, told, put, settled } = openJournal(folder)
    const elsewhere = `${folder}-away`
    renameSync(folder, elsewhere)
    put(1, "a")
    await vi.waitFor(() => expect(told.failed).toHaveLength(1), { timeout: 10_000 })
    expect(told.failed[0]).toMatch(/ENOENT/)
    put(2, "b")
    put(1, "c")
    await sleep(250)
    expect(told.journaled).toEqual([])
    renameSync(elsewhere, folder)
    await settled()
    expect(told.failed).toHaveLength(1)
    await journal.close()
    expect(await reopened(folder)).toEqual({ texts: ["c"], cut: [] })
  })

  it("because it is full is written to again, where it left off, when there is room", async () => {
    await written(folder, 1, ["a", "b"])
    const { journal, told, put, settled } = openJournal(folder, { segmentBytesMax: 1 })
    const next = join(folder, "g-0-r0.3.journal")
    symlinkSync("/dev/full", next)
    put(3, "c")
    put(4, "d")
    await vi.waitFor(() => expect(told.failed).toHaveLength(1), { timeout: 10_000 })
    expect(told.failed[0]).toMatch(/ENOSPC/)
    expect(told.journaled).toEqual([])
    rmSync(next)
    await settled()
    expect(told.journaled).toEqual([2])
    await journal.close()
    expect(await reopened(folder)).toEqual({ texts: ["a", "b", "c", "d"], cut: [] })
  })

  it("does not keep a journal from being closed, or from being emptied", async () => {
    const { journal, told, put } = openJournal(folder)
    const elsewhere = `${folder}-away`
    renameSync(folder, elsewhere)
    put(1, "a")
    await vi.waitFor(() => expect(told.failed).toHaveLength(1), { timeout: 10_000 })
    expect(() => journal.reset()).toThrow(/ENOENT/)
    await journal.close()
    expect(told.journaled).toEqual([])
    expect(existsSync(folder)).toBe(false)
  })
})
