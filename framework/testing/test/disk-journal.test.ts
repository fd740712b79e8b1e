import { describe, expect, it } from "vitest"
import { DiskJournal } from "../src/disk-journal.ts"
import { Random } from "../src/random.ts"
import { Schedule } from "../src/schedule.ts"

function journalOf(seed = 0) {
  const schedule = new Schedule()
  const disk = { isFull: false }
  const journal = new DiskJournal({
    schedule,
    random: new Random(seed),
    name: "r0",
    isFull: () => disk.isFull,
    slowMs: () => 0,
  })
  const done: Array<number> = []
  let write = 0
  return {
    schedule,
    disk,
    journal,
    done,
    write: (from: number, ...records: ReadonlyArray<string>): void =>
      journal.write(
        { write: ++write, from, records: records.map((text) => Buffer.from(text)) },
        (last) => void done.push(last),
      ),
    texts: () => journal.records().map((record) => Buffer.from(record).toString()),
  }
}

describe("the journal of a simulated disk", () => {
  it("has a write on the disk when it says so, and gathers what comes while a sync runs", () => {
    const { schedule, done, write, texts } = journalOf()
    write(1, "a")
    write(2, "b")
    write(3, "c")
    expect(texts()).toEqual([])
    schedule.run(1000)
    expect(texts()).toEqual(["a", "b", "c"])
    expect(done).toEqual([1, 3])
  })

  it("replaces what stands from a position on, also by nothing", () => {
    const { schedule, write, texts } = journalOf()
    write(1, "a", "b", "c")
    write(2, "B")
    schedule.run(1000)
    expect(texts()).toEqual(["a", "B"])
    write(2)
    schedule.run(2000)
    expect(texts()).toEqual(["a"])
  })

  it("begins anew where a write does not follow on what is there", () => {
    const { schedule, write, texts } = journalOf()
    write(1, "a")
    write(5, "e")
    schedule.run(1000)
    expect(texts()).toEqual(["e"])
  })

  it("lets go of the beginning, and keeps positions", () => {
    const { schedule, journal, write, texts } = journalOf()
    write(1, "a", "b", "c")
    schedule.run(1000)
    journal.trim(3)
    expect(texts()).toEqual(["c"])
    write(3, "C", "d")
    schedule.run(2000)
    expect(texts()).toEqual(["C", "d"])
  })

  it("waits while the disk is full", () => {
    const { schedule, disk, done, write } = journalOf()
    disk.isFull = true
    write(1, "a")
    schedule.run(1000)
    expect(done).toEqual([])
    disk.isFull = false
    schedule.run(2000)
    expect(done).toEqual([1])
  })

  it("keeps after a crash a beginning of what it had not synced, of all lengths, and tells nobody", () => {
    const lengths = new Set<number>()
    for (let seed = 0; seed < 200; seed++) {
      const { schedule, journal, done, write, texts } = journalOf(seed)
      write(1, "a")
      schedule.run(1000)
      write(2, "b", "c")
      write(4, "d")
      journal.crash()
      schedule.run(2000)
      const kept = texts()
      expect(["a", "b", "c", "d"].slice(0, kept.length)).toEqual(kept)
      expect(done).toEqual([1])
      lengths.add(kept.length)
    }
    expect([...lengths].toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4])
  })

  it("loses a record that has rotted, with all that follow it", () => {
    const { schedule, journal, write, texts } = journalOf(3)
    write(1, "a", "b", "c")
    schedule.run(1000)
    journal.rot()
    const left = texts()
    expect(left.length).toBeLessThan(3)
    expect(["a", "b", "c"].slice(0, left.length)).toEqual(left)
  })

  it("goes back to a copy", () => {
    const { schedule, journal, write, texts } = journalOf()
    write(1, "a")
    schedule.run(1000)
    journal.backUp()
    write(2, "b")
    schedule.run(2000)
    journal.rollBack()
    expect(texts()).toEqual(["a"])
  })
})
