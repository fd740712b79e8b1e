import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
} from "node:fs"
import { type FileHandle, open, readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { type GroupName, invariant, type Partition, type ReplicaId } from "@lockstep/core"
import { decodeHeader, encodeFrames, encodeHeader, framesOf } from "./segment.ts"
import { openSynced, writeSynced } from "./synced.ts"

/** The journal is from a position on these records and nothing else. */
export interface JournalWrite {
  /** Numbers the writes. */
  readonly write: number
  readonly from: number
  readonly records: ReadonlyArray<Uint8Array>
}

/** Who is told of what becomes of a journal. */
export interface JournalListener {
  /** All writes up to this one are on the disk. Never called while a write is handed over. */
  onJournaled(write: number): void
  /** The disk refuses a write, which is tried again and again. Told once, until one succeeds. */
  onFailed(error: string): void
  /** When it was opened, it was whole up to this position only: the rest, so many bytes, was torn or rotten, and is gone. */
  onCut(cut: { readonly position: number; readonly bytes: number }): void
}

/** What a seat needs of its journal. */
export type Journaling = Pick<Journal, "records" | "write" | "trim" | "reset" | "close">

/**
 * The journal of one replica's partition, in files of its folder: records by position, appended, replaced from a position on, and removed at the
 * beginning. While one write is on its way to the disk, all that come meanwhile are gathered, and share the next. Whoever writes bounds what waits.
 */
export class Journal {
  readonly #directory: string
  readonly #name: string
  readonly #logId: string
  readonly #segmentBytesMax: number
  readonly #listener: JournalListener
  /** In their order, without gaps. The last one is written to. */
  #segments: Array<Segment>
  #handle: FileHandle | undefined
  #queue: Array<JournalWrite> = []
  #trimBelow = 0
  /** Counts resets: what was handed over before one is nobody's business after it. */
  #resets = 0
  #resetsDone = 0
  /** What was there when it was opened can be read until it is written to. */
  #untouched = true
  #running: Promise<void> | undefined
  #failing = false
  #closing = false
  #closed = false

  /** Opens the journal of a partition under `directory`, which is made if it is not there. */
  constructor(
    directory: string,
    of: {
      readonly group: GroupName
      readonly replica: ReplicaId
      readonly partition: Partition
      readonly logId: string
      /** A file is not written to any more when it has so many bytes. Default: 16 MiB. */
      readonly segmentBytesMax?: number
    },
    listener: JournalListener,
  ) {
    mkdirSync(directory, { recursive: true })
    this.#directory = directory
    this.#name = `${of.group}-${of.partition}-${of.replica}`
    this.#logId = of.logId
    this.#segmentBytesMax = of.segmentBytesMax ?? SEGMENT_BYTES_MAX
    this.#listener = listener
    this.#segments = this.#open()
  }

  /** What was there when it was opened, in order. To be read before anything is written. */
  *records(): Generator<Buffer, void> {
    if (this.#resets > 0) return
    invariant(this.#untouched, "a journal is read before it is written to")
    for (const { file } of this.#segments) {
      const bytes = readFileSync(file)
      const header = decodeHeader(bytes)
      if (header === undefined) return // rotten since it was opened
      for (const { record } of framesOf(bytes, header)) yield record
    }
  }

  /** The journal is to be, from a position on, these records and nothing else. */
  write(write: JournalWrite): void {
    if (this.#closed) return
    this.#untouched = false
    this.#queue.push(write)
    this.#wake()
  }

  /** What is below this position is not needed: files that hold nothing else go. */
  trim(below: number): void {
    if (this.#closed) return
    this.#untouched = false
    this.#trimBelow = Math.max(this.#trimBelow, below)
    this.#wake()
  }

  /**
   * Empties it. On return it is empty for whoever opens it next; writes that are not on the disk yet are dropped, and nothing is told of them. Throws
   * where the disk refuses it.
   */
  reset(): void {
    closeSync(openSync(this.#marker, "w"))
    syncNow(this.#directory)
    this.#resets++
    this.#queue = []
    this.#trimBelow = 0
    this.#wake()
  }

  /** Resolves when all that was handed over is on the disk, or the disk refuses it. */
  async close(): Promise<void> {
    this.#closing = true
    await this.#running
    this.#closed = true
    await this.#letGo()
  }

  get #end(): number {
    return this.#segments.at(-1)?.end ?? 0
  }

  /** While this file is there, the others are of no use. */
  get #marker(): string {
    return join(this.#directory, `${this.#name}.journal-reset`)
  }

  #file(first: number): string {
    return join(this.#directory, `${this.#name}.${first}.journal`)
  }

  /** All files that there are, by their first positions. */
  #files(): Array<{ readonly first: number; readonly file: string }> {
    return readdirSync(this.#directory)
      .flatMap((entry) => {
        const [, digits] = /^\.(\d{1,15})\.journal$/.exec(entry.slice(this.#name.length)) ?? []
        return digits !== undefined && entry.startsWith(this.#name) ? [Number(digits)] : []
      })
      .toSorted((a, b) => a - b)
      .map((first) => ({ first, file: this.#file(first) }))
  }

  /** Reads as far as it is whole, and cuts off the rest. */
  #open(): Array<Segment> {
    const files = this.#files()
    if (existsSync(this.#marker)) {
      for (const { file } of files) rmSync(file, { force: true })
      syncNow(this.#directory)
      rmSync(this.#marker, { force: true })
      return []
    }
    const segments: Array<Segment> = []
    let cutBytes = 0
    for (const { first, file } of files) {
      const bytes = readFileSync(file)
      const header = decodeHeader(bytes)
      if (header !== undefined && header.logId !== this.#logId) {
        for (const other of files)
          if (existsSync(other.file)) renameSync(other.file, `${other.file}.put-away`)
        syncNow(this.#directory)
        return []
      }
      const last = segments.at(-1)
      const follows = last === undefined || (header?.first === last.end && header.chain === last.chain)
      if (cutBytes > 0 || header === undefined || header.first !== first || !follows) {
        cutBytes += bytes.length
        rmSync(file)
        continue
      }
      let [end, bytesWhole, chain] = [first, header.end, header.chain]
      for (const frame of framesOf(bytes, header))
        [end, bytesWhole, chain] = [frame.position + 1, frame.end, frame.chain]
      segments.push({ file, first, end, bytes: bytesWhole, chain })
      cutBytes += bytes.length - bytesWhole
      if (cutBytes > 0) truncateSync(file, bytesWhole)
    }
    if (cutBytes > 0) {
      const last = segments.at(-1)
      if (last !== undefined) syncNow(last.file)
      syncNow(this.#directory)
      this.#listener.onCut({ position: (last?.end ?? 1) - 1, bytes: cutBytes })
    }
    return segments
  }

  #wake(): void {
    this.#running ??= this.#run()
  }

  /** One thing after the other, until nothing is left to do. */
  async #run(): Promise<void> {
    await Promise.resolve() // what is handed over in one turn goes together
    for (;;) {
      if (this.#resetsDone < this.#resets) await this.#persist(() => this.#empty(this.#resets))
      else if (this.#trimBelow > 0) await this.#shorten()
      else if (this.#queue.length > 0) await this.#flush()
      else break
      if (this.#closing && this.#failing) break
    }
    // in the turn in which it saw that nothing is left: what comes after it wakes it again
    this.#running = undefined
  }

  /** All writes that follow one upon another, with one sync. */
  async #flush(): Promise<void> {
    const [first] = this.#queue
    invariant(first !== undefined, "there is something to write")
    const resets = this.#resets
    const { from } = first
    const records: Array<Uint8Array> = []
    let [count, bytes, last] = [0, 0, first]
    for (const next of this.#queue) {
      if (next.from !== from + records.length || bytes > FLUSH_BYTES_MAX) break
      for (const record of next.records) {
        records.push(record)
        bytes += record.length
      }
      last = next
      count++
    }
    this.#queue.splice(0, count)
    if (await this.#persist(() => this.#put(from, records)))
      if (resets === this.#resets) this.#listener.onJournaled(last.write)
  }

  /** Tries until it succeeds, or nobody wants it any more. Yields whether it did. */
  async #persist(attempt: () => Promise<void>): Promise<boolean> {
    const resets = this.#resets
    for (;;) {
      try {
        await attempt()
        this.#failing = false
        return true
      } catch (cause) {
        await this.#letGo()
        const isNews = !this.#failing
        this.#failing = true
        if (isNews) this.#listener.onFailed(cause instanceof Error ? cause.message : String(cause))
        if (!this.#closing) await sleep(RETRY_MS)
        if (this.#closing || resets !== this.#resets) return false
      }
    }
  }

  /** May be done again, from wherever it failed: what is written where counts from the sync on. */
  async #put(from: number, records: ReadonlyArray<Uint8Array>): Promise<void> {
    if (from !== this.#end) await this.#cut(from)
    if (records.length === 0) return
    const last = this.#segments.at(-1)
    if (last !== undefined && last.bytes < this.#segmentBytesMax) {
      const frames = encodeFrames(records, from, last.chain)
      this.#handle ??= await openSynced(last.file)
      await writeSynced(this.#handle, frames.bytes, last.bytes)
      last.bytes += frames.bytes.length
      last.end = from + records.length
      last.chain = frames.chain
    } else {
      await this.#letGo()
      const before = last?.chain ?? 0
      const header = encodeHeader({ logId: this.#logId, first: from, chain: before })
      const frames = encodeFrames(records, from, before)
      const bytes = Buffer.concat([header, frames.bytes])
      const file = this.#file(from)
      this.#handle = await openSynced(file, constants.O_CREAT | constants.O_TRUNC)
      await writeSynced(this.#handle, bytes, 0)
      await this.#syncDirectory()
      const end = from + records.length
      this.#segments.push({ file, first: from, end, bytes: bytes.length, chain: frames.chain })
    }
  }

  /** Removes what stands from this position on. Where nothing stands right before it, the rest is of no use either. */
  async #cut(from: number): Promise<void> {
    const begin = from > this.#end ? 0 : from
    await this.#letGo()
    for (;;) {
      const last = this.#segments.at(-1)
      if (last === undefined || last.first < begin) break
      await rm(last.file, { force: true })
      this.#segments.pop()
    }
    const last = this.#segments.at(-1)
    if (last !== undefined && begin < last.end) {
      const bytes = await readFile(last.file)
      const header = decodeHeader(bytes)
      const frames = header === undefined ? [] : [...framesOf(bytes, header)]
      const before = frames.find(({ position }) => position === begin - 1)
      if (before === undefined) throw new Error(`${last.file} has rotted, and cannot be cut at ${begin}`)
      this.#handle = await openSynced(last.file)
      await this.#handle.truncate(before.end)
      await this.#handle.sync()
      last.end = begin
      last.bytes = before.end
      last.chain = before.chain
    }
    await this.#syncDirectory()
  }

  /** Removes files at the beginning, one after the other, so that what is left never has a gap. */
  async #shorten(): Promise<void> {
    const below = this.#trimBelow
    this.#trimBelow = 0
    try {
      for (;;) {
        const [first, second] = this.#segments
        if (first === undefined || second === undefined || second.first > below) return
        await rm(first.file, { force: true })
        await this.#syncDirectory()
        this.#segments.shift()
      }
    } catch (cause) {
      // they go with the next ones
      this.#listener.onFailed(cause instanceof Error ? cause.message : String(cause))
    }
  }

  async #empty(resets: number): Promise<void> {
    await this.#letGo()
    for (const { file } of this.#files()) await rm(file, { force: true })
    await this.#syncDirectory()
    this.#segments = []
    await rm(this.#marker, { force: true })
    this.#resetsDone = resets
  }

  async #letGo(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    // a file that cannot be closed is not written to again, either
    await handle?.close().catch(() => undefined)
  }

  async #syncDirectory(): Promise<void> {
    const handle = await open(this.#directory, "r")
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
}

/** One file, as far as it is known to be on the disk. */
interface Segment {
  readonly file: string
  readonly first: number
  /** The position after its last record. */
  end: number
  bytes: number
  /** The checksum of its last record. */
  chain: number
}

const SEGMENT_BYTES_MAX = 16 * 1024 * 1024
/** What one sync covers, about: so that the first of those who wait is told soon. */
const FLUSH_BYTES_MAX = 8 * 1024 * 1024
const RETRY_MS = 100

/** A directory is a file too: the names in it are on the disk when it is. */
function syncNow(file: string): void {
  const descriptor = openSync(file, "r")
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
