import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { GroupName, Partition, ReplicaId } from "@lockstep/core"
import fc from "fast-check"
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest"
import { Journal } from "../src/journal.ts"

const root = mkdtempSync(join(tmpdir(), "lockstep-journal-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let folder = root
beforeEach(() => {
  folder = mkdtempSync(join(root, "case-"))
})

interface Told {
  readonly journaled: Array<number>
  readonly failed: Array<string>
  readonly cut: Array<{ readonly position: number; readonly bytes: number }>
}

interface Opened {
  readonly journal: Journal
  readonly told: Told
  /** Writes texts from a position on, under the next number. */
  put(from: number, ...texts: ReadonlyArray<string>): number
  /** Waits until all that was put is on the disk. */
  settled(): Promise<void>
  /** What was there when it was opened. */
  read(): ReadonlyArray<string>
}

function openJournal(options: { readonly logId?: string; readonly segmentBytesMax?: number } = {}): Opened {
  const told: Told = { journaled: [], failed: [], cut: [] }
  const of = { group: GroupName("g"), replica: ReplicaId("r0"), partition: Partition(0), logId: "log" }
  let wake = (): void => undefined
  const journal = new Journal(
    folder,
    { ...of, ...options },
    {
      onJournaled: (write) => {
        told.journaled.push(write)
        wake()
      },
      onFailed: (error) => told.failed.push(error),
      onCut: (cut) => told.cut.push(cut),
    },
  )
  let write = 0
  return {
    journal,
    told,
    put: (from, ...texts) => {
      journal.write({ write: ++write, from, records: texts.map((text) => Buffer.from(text)) })
      return write
    },
    settled: async () => {
      while (told.journaled.at(-1) !== write) await new Promise<void>((resolve) => (wake = resolve))
    },
    read: () => [...journal.records()].map(String),
  }
}

/** What is there, and what was cut off when it was looked at. */
async function reopened(options: Parameters<typeof openJournal>[0] = {}) {
  const { journal, told, read } = openJournal(options)
  const texts = read()
  await journal.close()
  return { texts, cut: told.cut }
}

/** A journal of texts from a position on, each written by itself. */
async function written(from: number, texts: ReadonlyArray<string>, segmentBytesMax?: number): Promise<void> {
  const { journal, put, settled } = openJournal(segmentBytesMax === undefined ? {} : { segmentBytesMax })
  for (const [index, text] of texts.entries()) {
    put(from + index, text)
    await settled()
  }
  await journal.close()
}

const files = () => readdirSync(folder).toSorted((a, b) => Number(a.split(".")[1]) - Number(b.split(".")[1]))

const fifty = Array.from({ length: 50 }, (_, i) => `record ${i + 1}`)

describe("a journal", () => {
  it("has nothing in it to begin with, and what was written when it is opened again", async () => {
    expect(await reopened()).toEqual({ texts: [], cut: [] })
    await written(1, ["a", "", "c".repeat(100_000)])
    expect(await reopened()).toEqual({ texts: ["a", "", "c".repeat(100_000)], cut: [] })
    expect(files()).toEqual(["g-0-r0.1.journal"])
  })

  it("may begin anywhere, and goes on where it was", async () => {
    await written(41, ["a", "b"])
    const { journal, put, settled, read } = openJournal()
    expect(read()).toEqual(["a", "b"])
    put(43, "c")
    await settled()
    await journal.close()
    expect((await reopened()).texts).toEqual(["a", "b", "c"])
  })

  it("gathers what comes while it writes: one sync covers it, and the last write is told", async () => {
    const { journal, told, put, settled } = openJournal()
    put(1, "a")
    put(2, "b", "c")
    expect(told.journaled).toEqual([])
    await settled()
    expect(told.journaled).toEqual([2])
    put(4, "d")
    await Promise.resolve()
    await Promise.resolve()
    for (let position = 5; position < 50; position++) put(position, "e")
    await settled()
    expect(told.journaled.length).toBeLessThanOrEqual(4)
    await journal.close()
    expect((await reopened()).texts).toEqual(["a", "b", "c", "d", ...Array.from({ length: 45 }, () => "e")])
  })

  it("writes all that it was given before it is closed", async () => {
    const { journal, put } = openJournal()
    for (const [index, text] of fifty.entries()) put(index + 1, text)
    await journal.close()
    expect((await reopened()).texts).toEqual(fifty)
  })

  it("goes on in another file when one is large, and loses none at the seams", async () => {
    await written(1, fifty, 200)
    expect(files().length).toBeGreaterThan(4)
    expect(await reopened()).toEqual({ texts: fifty, cut: [] })
  })

  it("keeps the journals of two replicas of one folder apart", async () => {
    await written(1, ["a"])
    writeFileSync(join(folder, "g-0-r0-1.1.journal"), "of replica r0-1")
    writeFileSync(join(folder, "h-g-0-r0.1.journal"), "of group h-g")
    expect((await reopened()).texts).toEqual(["a"])
    expect(files()).toHaveLength(3)
  })
})

describe("a suffix that is replaced", () => {
  it.each([
    ["within a file", 48],
    ["over several files", 7],
    ["from the first position of a file on", 10],
    ["from the beginning", 1],
  ])("%s is gone, and what came after it too", async (_, from) => {
    await written(1, fifty, 200)
    const { journal, put, settled } = openJournal({ segmentBytesMax: 200 })
    put(from, "other", "another")
    put(from + 2, "third")
    await settled()
    await journal.close()
    expect(await reopened()).toEqual({
      texts: [...fifty.slice(0, from - 1), "other", "another", "third"],
      cut: [],
    })
  })

  it("by nothing is gone as well", async () => {
    await written(1, fifty, 200)
    const { journal, put, settled } = openJournal()
    put(31)
    await settled()
    await journal.close()
    expect(await reopened()).toEqual({ texts: fifty.slice(0, 30), cut: [] })
  })

  it("behind a gap leaves nothing of what was before it: no run goes over a gap", async () => {
    await written(1, fifty, 200)
    const { journal, put, settled } = openJournal()
    put(60, "a", "b")
    await settled()
    await journal.close()
    expect((await reopened()).texts).toEqual(["a", "b"])
  })

  it("does not come back behind its replacement, where the disk has kept some of it", async () => {
    await written(1, ["one 1", "one 2", "one 3", "one 4"])
    const [file = ""] = files().map((name) => join(folder, name))
    const old = readFileSync(file)
    const { journal, put, settled } = openJournal()
    put(2, "two 2")
    await settled()
    await journal.close()
    // as long as it was, with the old records where they stood
    appendFileSync(file, old.subarray(statSync(file).size))
    const { texts, cut } = await reopened()
    expect(texts).toEqual(["one 1", "two 2"])
    expect(cut).toMatchObject([{ position: 2 }])
  })

  it("is replaced in the order of the writes, whatever they are", async () => {
    const writes = fc.array(
      fc.record({ back: fc.nat({ max: 6 }), count: fc.nat({ max: 4 }), wait: fc.boolean() }),
      { maxLength: 25 },
    )
    await fc.assert(
      fc.asyncProperty(writes, async (given) => {
        folder = mkdtempSync(join(root, "property-"))
        const { journal, told, put, settled } = openJournal({ segmentBytesMax: 90 })
        let model: Array<string> = []
        let last = 0
        for (const [number, { back, count, wait }] of given.entries()) {
          const from = Math.max(1, model.length + 1 - back)
          const texts = Array.from({ length: count }, (_, i) => `${number}/${i}`)
          model = [...model.slice(0, from - 1), ...texts]
          last = put(from, ...texts)
          if (wait) await settled()
        }
        await journal.close()
        expect(told.journaled.at(-1) ?? 0).toBe(last)
        expect(told.journaled).toEqual(told.journaled.toSorted((a, b) => a - b))
        expect(await reopened()).toEqual({ texts: model, cut: [] })
      }),
      { numRuns: 40 },
    )
  })
})

describe("a journal that was damaged", () => {
  it("at its end keeps the records that are whole, wherever it was torn", async () => {
    await written(1, fifty.slice(0, 6))
    const [name = ""] = files()
    const file = join(folder, name)
    const whole = readFileSync(file)
    const seen = new Set<number>()
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(file, whole)
      truncateSync(file, length)
      const { texts } = await reopened()
      expect(texts).toEqual(fifty.slice(0, texts.length))
      expect(texts.length).toBeLessThan(6)
      seen.add(texts.length)
      // what was cut off stays away
      expect(await reopened()).toEqual({ texts, cut: [] })
    }
    expect([...seen]).toEqual([0, 1, 2, 3, 4, 5])
  })

  it("by one flipped bit anywhere ends before it, and goes on from there", async () => {
    await written(1, fifty, 400)
    const kept = new Map(files().map((name) => [name, readFileSync(join(folder, name))]))
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
      const { texts, cut } = await reopened({ segmentBytesMax: 400 })
      expect(texts.length).toBeLessThan(50)
      expect(texts).toEqual(fifty.slice(0, texts.length))
      expect(cut).toMatchObject([{ position: texts.length }])
      const { journal, put, settled } = openJournal({ segmentBytesMax: 400 })
      put(texts.length + 1, "after")
      await settled()
      await journal.close()
      expect((await reopened()).texts).toEqual([...texts, "after"])
      for (const file of files()) rmSync(join(folder, file))
    }
  })

  it("by a file that is gone ends before it", async () => {
    await written(1, fifty, 200)
    const [, , third = ""] = files()
    rmSync(join(folder, third))
    const { texts } = await reopened()
    expect(texts).toEqual(fifty.slice(0, Number(third.split(".")[1]) - 1))
    expect(files()).toHaveLength(2)
  })

  it("is put away where it is of another log", async () => {
    await written(1, fifty, 200)
    const before = files()
    expect((await reopened({ logId: "made again" })).texts).toEqual([])
    expect(files()).toEqual(before.map((name) => `${name}.put-away`))
    expect((await reopened()).texts).toEqual([])
  })
})

describe("a journal that is trimmed", () => {
  it("removes whole files that are not needed, and nothing above", async () => {
    await written(1, fifty, 200)
    const { journal, put, settled } = openJournal({ segmentBytesMax: 200 })
    journal.trim(30)
    put(51, "more")
    await settled()
    await journal.close()
    const { texts, cut } = await reopened()
    expect(cut).toEqual([])
    expect(texts.at(-1)).toBe("more")
    const begin = 51 - (texts.length - 1)
    expect(begin).toBeLessThanOrEqual(30)
    expect(begin).toBeGreaterThan(20)
    expect(texts.slice(0, -1)).toEqual(fifty.slice(begin - 1))
  })

  it("further than it goes can still be written to", async () => {
    await written(1, fifty, 200)
    const { journal, put, settled } = openJournal({ segmentBytesMax: 200 })
    journal.trim(1000)
    put(51, "more")
    await settled()
    await journal.close()
    expect((await reopened()).texts.at(-1)).toBe("more")
    expect(files().length).toBeLessThan(3)
  })
})

describe("a journal that is emptied", () => {
  it("is empty for whoever opens it, at once and later, and goes on from anywhere", async () => {
    await written(1, fifty, 200)
    const { journal, told, put, settled, read } = openJournal()
    journal.reset()
    expect(read()).toEqual([])
    expect((await reopened()).texts).toEqual([])
    put(900, "new")
    await settled()
    await journal.close()
    expect(told.cut).toEqual([])
    expect(await reopened()).toEqual({ texts: ["new"], cut: [] })
    expect(files()).toEqual(["g-0-r0.900.journal"])
  })

  it("drops what waits, and tells nobody of what was on its way", async () => {
    const { journal, told, put, settled } = openJournal()
    put(1, "old 1")
    await Promise.resolve()
    await Promise.resolve()
    put(2, "old 2")
    journal.reset()
    const write = put(1, "new")
    await settled()
    expect(told.journaled).toEqual([write])
    await journal.close()
    expect((await reopened()).texts).toEqual(["new"])
  })

  it("is empty where the process ends before the files are gone", async () => {
    await written(1, fifty, 200)
    const kept = files().map((name) => [name, readFileSync(join(folder, name))] as const)
    const { journal } = openJournal()
    journal.reset()
    const marker = readdirSync(folder).find((name) => name.endsWith("-reset")) ?? ""
    expect(marker).not.toBe("")
    await journal.close()
    for (const [name, bytes] of kept) writeFileSync(join(folder, name), bytes)
    writeFileSync(join(folder, marker), "")
    expect(await reopened()).toEqual({ texts: [], cut: [] })
    expect(readdirSync(folder)).toEqual([])
  })
})

describe("a disk that refuses", () => {
  it("is told of once, and nothing overtakes the write that it refused", async () => {
    const { journal, told, put, settled } = openJournal()
    const elsewhere = `${folder}-away`
    renameSync(folder, elsewhere)
    put(1, "a")
    await vi.waitFor(() => expect(told.failed).toHaveLength(1), { timeout: 10_000 })
    expect(told.failed[0]).toMatch(/ENOENT/)
    put(2, "b")
    put(1, "c")
    await new Promise((resolve) => setTimeout(resolve, 250))
    expect(told.journaled).toEqual([])
    renameSync(elsewhere, folder)
    await settled()
    expect(told.failed).toHaveLength(1)
    await journal.close()
    expect(await reopened()).toEqual({ texts: ["c"], cut: [] })
  })

  it("because it is full is written to again, where it left off, when there is room", async () => {
    await written(1, ["a", "b"])
    const { journal, told, put, settled } = openJournal({ segmentBytesMax: 1 })
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
    expect(await reopened()).toEqual({ texts: ["a", "b", "c", "d"], cut: [] })
  })

  it("does not keep a journal from being closed, or from being emptied", async () => {
    const { journal, told, put } = openJournal()
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
