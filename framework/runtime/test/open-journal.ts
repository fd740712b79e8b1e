import { readdirSync } from "node:fs"
import { GroupName, Partition, ReplicaId } from "@lockstep/core"
import { Journal } from "../src/journal.ts"

interface Told {
  readonly journaled: Array<number>
  readonly failed: Array<string>
  readonly cut: Array<{ readonly position: number; readonly bytes: number }>
}

/** A journal that a test writes to. */
export interface Opened {
  readonly journal: Journal
  readonly told: Told
  /** Writes texts from a position on, under the next number. */
  readonly put: (from: number, ...texts: ReadonlyArray<string>) => number
  /** Waits until all that was put is on the disk. */
  readonly settled: () => Promise<void>
  /** What was there when it was opened. */
  readonly read: () => ReadonlyArray<string>
}

/** Opens the journal of one replica's partition in a folder, and remembers what is told of it. */
export function openJournal(
  folder: string,
  options: { readonly logId?: string; readonly segmentBytesMax?: number } = {},
): Opened {
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
export async function reopened(folder: string, options: Parameters<typeof openJournal>[1] = {}) {
  const { journal, told, read } = openJournal(folder, options)
  const texts = read()
  await journal.close()
  return { texts, cut: told.cut }
}

/** A journal of texts from a position on, each written by itself. */
export async function written(
  folder: string,
  from: number,
  texts: ReadonlyArray<string>,
  segmentBytesMax?: number,
): Promise<void> {
  const { journal, put, settled } = openJournal(
    folder,
    segmentBytesMax === undefined ? {} : { segmentBytesMax },
  )
  for (const [index, text] of texts.entries()) {
    put(from + index, text)
    await settled()
  }
  await journal.close()
}

/** The names of its files, in their order. */
export function files(folder: string): ReadonlyArray<string> {
  const first = (name: string): number => Number(name.split(".")[1])
  return readdirSync(folder).toSorted((a, b) => first(a) - first(b))
}

/** Fifty records, each of which says what it is. */
export const fifty = Array.from({ length: 50 }, (_, i) => `record ${i + 1}`)
