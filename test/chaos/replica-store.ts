import { spawnSync } from "node:child_process"
import { cp, copyFile, mkdir, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Random } from "@lockstep/testing"
import { flipBits } from "./damage.ts"

/** How a store is copied while it is in use: at one moment, or file by file while it changes. */
export type CopyKind = "whole" | "torn"

/** Copies that are kept of each store: the first one, and so many later ones. */
const LATER_COPIES_MAX = 3
/** Between one file and the next of a torn copy. */
const TEAR_MS = 150

/** The folder in which a replica keeps its checkpoints, and copies of it from earlier times. */
export class ReplicaStore {
  readonly #directory: string
  readonly #copiesDirectory: string
  readonly #copies: Array<string> = []
  #made = 0

  constructor(directory: string) {
    this.#directory = directory
    this.#copiesDirectory = `${directory}.copies`
  }

  /** How many copies there are. */
  get copies(): number {
    return this.#copies.length
  }

  /** Keeps a copy. For a whole one, the replica must stand still meanwhile. */
  async keepCopy(kind: CopyKind): Promise<void> {
    const copy = join(this.#copiesDirectory, `${this.#made++}-${kind}`)
    await mkdir(copy, { recursive: true })
    for (const file of await filesOf(this.#directory)) {
      // SQLite's own files come and go
      await copyFile(join(this.#directory, file), join(copy, file)).catch(() => undefined)
      if (kind === "torn") await sleep(TEAR_MS)
    }
    this.#copies.push(copy)
    if (this.#copies.length <= 1 + LATER_COPIES_MAX) return
    const [dropped] = this.#copies.splice(1, 1)
    if (dropped !== undefined) await rm(dropped, { recursive: true })
  }

  /** Puts a copy in place of what is there. The replica must be down. Where there is none yet, nothing is left. */
  async putBack(which: "first" | "last"): Promise<void> {
    await this.delete()
    const copy = which === "first" ? this.#copies[0] : this.#copies.at(-1)
    if (copy !== undefined) await cp(copy, this.#directory, { recursive: true })
  }

  /** Flips bits in files of the store. The replica must be down. */
  async damage(random: Random, flips: number): Promise<void> {
    const files = await filesOf(this.#directory)
    for (let left = flips; left > 0 && files.length > 0; left--)
      await flipBits(join(this.#directory, random.pick(files)), random, 1)
  }

  async delete(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
  }
}

/** Bytes that a file can have while the disk is "full": less than the smallest database. */
const FULL_BYTES = 4096

/** Whether a process's disk can be filled: it takes a tool of util-linux. */
export const canFillDisks = spawnSync("prlimit", ["--version"]).status === 0

/**
 * From now on the kernel refuses the process every write beyond the first bytes of a file (EFBIG), and the SQLite in it says that
 * the disk failed. Needs no disk of its own, and no root.
 */
export function fillDisk(pid: number): void {
  limitFiles(pid, `${FULL_BYTES}:unlimited`)
}

export function emptyDisk(pid: number): void {
  limitFiles(pid, "unlimited:unlimited")
}

function limitFiles(pid: number, limits: string): void {
  const { status, stderr } = spawnSync("prlimit", ["--pid", String(pid), `--fsize=${limits}`], {
    encoding: "utf8",
  })
  if (status !== 0) throw new Error(`the size of files of process ${pid} could not be limited: ${stderr}`)
}

/** The database, and what SQLite keeps beside it: the newest file last, as a backup that knows nothing of SQLite may read them. */
async function filesOf(directory: string): Promise<ReadonlyArray<string>> {
  const files = await readdir(directory).catch(() => [])
  return files.filter((file) => /\.sqlite(?:-wal|-shm)?$/.test(file)).toSorted()
}
