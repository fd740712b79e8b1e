import {
  appendFileSync,
  constants,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { afterAll, beforeEach, describe, expect, it } from "vitest"
import { files, fifty, openJournal, reopened, written } from "./open-journal.ts"

const root = mkdtempSync(join(tmpdir(), "lockstep-journal-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let folder = root
beforeEach(() => {
  folder = mkdtempSync(join(root, "case-"))
})

describe("a journal", () => {
  it("has nothing in it to begin with, and what was written when it is opened again", async () => {
    expect(await reopened(folder)).toEqual({ texts: [], cut: [] })
    await written(folder, 1, ["a", "", "c".repeat(100_000)])
    expect(await reopened(folder)).toEqual({ texts: ["a", "", "c".repeat(100_000)], cut: [] })
    expect(files(folder)).toEqual(["g-0-r0.1.journal"])
  })

  it("may begin anywhere, and goes on where it was", async () => {
    await written(folder, 41, ["a", "b"])
    const { journal, put, settled, read } = openJournal(folder)
    expect(read()).toEqual(["a", "b"])
    put(43, "c")
    await settled()
    await journal.close()
    expect((await reopened(folder)).texts).toEqual(["a", "b", "c"])
  })

  it.runIf(
    process.platform === "linux", // elsewhere each write is followed by a sync, and nothing shows the flags of a file
  )("syncs each write by itself: in a new file, in one that was there, and in one that was cut", async () => {
    const first = openJournal(folder)
    first.put(1, "a", "b")
    await first.settled()
    expect(syncing(folder)).toEqual([true])
    await first.journal.close()
    const { journal, put, settled } = openJournal(folder)
    put(3, "c")
    await settled()
    expect(syncing(folder)).toEqual([true])
    put(2, "d")
    await settled()
    put(3, "e")
    await settled()
    expect(syncing(folder)).toEqual([true])
    await journal.close()
  })

  it("gathers what comes while it writes: one sync covers it, and the last write is told", async () => {
    const { journal, told, put, settled } = openJournal(folder)
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
    expect((await reopened(folder)).texts).toEqual([
      "a",
      "b",
      "c",
      "d",
      ...Array.from({ length: 45 }, () => "e"),
    ])
  })

  it("writes all that it was given before it is closed", async () => {
    const { journal, put } = openJournal(folder)
    for (const [index, text] of fifty.entries()) put(index + 1, text)
    await journal.close()
    expect((await reopened(folder)).texts).toEqual(fifty)
  })

  it("goes on in another file when one is large, and loses none at the seams", async () => {
    await written(folder, 1, fifty, 200)
    expect(files(folder).length).toBeGreaterThan(4)
    expect(await reopened(folder)).toEqual({ texts: fifty, cut: [] })
  })

  it("keeps the journals of two replicas of one folder apart", async () => {
    await written(folder, 1, ["a"])
    writeFileSync(join(folder, "g-0-r0-1.1.journal"), "of replica r0-1")
    writeFileSync(join(folder, "h-g-0-r0.1.journal"), "of group h-g")
    expect((await reopened(folder)).texts).toEqual(["a"])
    expect(files(folder)).toHaveLength(3)
  })
})

describe("a suffix that is replaced", () => {
  it.each([
    ["within a file", 48],
    ["over several files", 7],
    ["from the first position of a file on", 10],
    ["from the beginning", 1],
  ])("%s is gone, and what came after it too", async (_, from) => {
    await written(folder, 1, fifty, 200)
    const { journal, put, settled } = openJournal(folder, { segmentBytesMax: 200 })
    put(from, "other", "another")
    put(from + 2, "third")
    await settled()
    await journal.close()
    expect(await reopened(folder)).toEqual({
      texts: [...fifty.slice(0, from - 1), "other", "another", "third"],
      cut: [],
    })
  })

  it("by nothing is gone as well", async () => {
    await written(folder, 1, fifty, 200)
    const { journal, put, settled } = openJournal(folder)
    put(31)
    await settled()
    await journal.close()
    expect(await reopened(folder)).toEqual({ texts: fifty.slice(0, 30), cut: [] })
  })

  it("behind a gap leaves nothing of what was before it: no run goes over a gap", async () => {
    await written(folder, 1, fifty, 200)
    const { journal, put, settled } = openJournal(folder)
    put(60, "a", "b")
    await settled()
    await journal.close()
    expect((await reopened(folder)).texts).toEqual(["a", "b"])
  })

  it("does not come back behind its replacement, where the disk has kept some of it", async () => {
    await written(folder, 1, ["one 1", "one 2", "one 3", "one 4"])
    const [file = ""] = files(folder).map((name) => join(folder, name))
    const old = readFileSync(file)
    const { journal, put, settled } = openJournal(folder)
    put(2, "two 2")
    await settled()
    await journal.close()
    // as long as it was, with the old records where they stood
    appendFileSync(file, old.subarray(statSync(file).size))
    const { texts, cut } = await reopened(folder)
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
        const { journal, told, put, settled } = openJournal(folder, { segmentBytesMax: 90 })
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
        expect(await reopened(folder)).toEqual({ texts: model, cut: [] })
      }),
      { numRuns: 40 },
    )
  })
})

describe("a journal that is trimmed", () => {
  it("removes whole files that are not needed, and nothing above", async () => {
    await written(folder, 1, fifty, 200)
    const { journal, put, settled } = openJournal(folder, { segmentBytesMax: 200 })
    journal.trim(30)
    put(51, "more")
    await settled()
    await journal.close()
    const { texts, cut } = await reopened(folder)
    expect(cut).toEqual([])
    expect(texts.at(-1)).toBe("more")
    const begin = 51 - (texts.length - 1)
    expect(begin).toBeLessThanOrEqual(30)
    expect(begin).toBeGreaterThan(20)
    expect(texts.slice(0, -1)).toEqual(fifty.slice(begin - 1))
  })

  it("further than it goes can still be written to", async () => {
    await written(folder, 1, fifty, 200)
    const { journal, put, settled } = openJournal(folder, { segmentBytesMax: 200 })
    journal.trim(1000)
    put(51, "more")
    await settled()
    await journal.close()
    expect((await reopened(folder)).texts.at(-1)).toBe("more")
    expect(files(folder).length).toBeLessThan(3)
  })
})

describe("a journal that is emptied", () => {
  it("is empty for whoever opens it, at once and later, and goes on from anywhere", async () => {
    await written(folder, 1, fifty, 200)
    const { journal, told, put, settled, read } = openJournal(folder)
    journal.reset()
    expect(read()).toEqual([])
    expect((await reopened(folder)).texts).toEqual([])
    put(900, "new")
    await settled()
    await journal.close()
    expect(told.cut).toEqual([])
    expect(await reopened(folder)).toEqual({ texts: ["new"], cut: [] })
    expect(files(folder)).toEqual(["g-0-r0.900.journal"])
  })

  it("drops what waits, and tells nobody of what was on its way", async () => {
    const { journal, told, put, settled } = openJournal(folder)
    put(1, "old 1")
    await Promise.resolve()
    await Promise.resolve()
    put(2, "old 2")
    journal.reset()
    const write = put(1, "new")
    await settled()
    expect(told.journaled).toEqual([write])
    await journal.close()
    expect((await reopened(folder)).texts).toEqual(["new"])
  })

  it("is empty where the process ends before the files are gone", async () => {
    await written(folder, 1, fifty, 200)
    const kept = files(folder).map((name) => [name, readFileSync(join(folder, name))] as const)
    const { journal } = openJournal(folder)
    journal.reset()
    const marker = readdirSync(folder).find((name) => name.endsWith("-reset")) ?? ""
    expect(marker).not.toBe("")
    await journal.close()
    for (const [name, bytes] of kept) writeFileSync(join(folder, name), bytes)
    writeFileSync(join(folder, marker), "")
    expect(await reopened(folder)).toEqual({ texts: [], cut: [] })
    expect(readdirSync(folder)).toEqual([])
  })
})

/** Of each file under the folder that this process has open: whether what is written to it is on the disk when the write ends. */
function syncing(folderOfFiles: string): ReadonlyArray<boolean> {
  return readdirSync("/proc/self/fd").flatMap((descriptor) => {
    try {
      if (!readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(`${folderOfFiles}/`)) return []
      const [, flags = ""] =
        /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8")) ?? []
      return [(Number.parseInt(flags, 8) & constants.O_DSYNC) !== 0]
    } catch {
      return [] // it was closed meanwhile
    }
  })
}
