import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"

/** What the store of a replica takes on its disk. */
export interface StoreSize {
  /** The database and its write-ahead log, as files. */
  readonly fileBytes: number
  readonly walBytes: number
  /** Rows of all checkpoints that are kept, and the bytes in them. */
  readonly rows: number
  readonly rowBytes: number
  /** Pages of the database that hold nothing: it does not shrink. */
  readonly freeBytes: number
}

/** The size of the store in this folder. It may be in use. */
export function storeSize(directory: string): StoreSize {
  const files = readdirSync(directory).map((file) => join(directory, file))
  const size = (ending: string): number =>
    files.filter((file) => file.endsWith(ending)).reduce((sum, file) => sum + statSync(file).size, 0)
  const [database] = files.filter((file) => file.endsWith(".sqlite")).map(contentOf)
  const content = database ?? { rows: 0, rowBytes: 0, freeBytes: 0 }
  return { fileBytes: size(".sqlite") + size("-wal"), walBytes: size("-wal"), ...content }
}

function contentOf(file: string): Pick<StoreSize, "rows" | "rowBytes" | "freeBytes"> {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    const number = (sql: string): number => Number(Object.values(database.prepare(sql).get() ?? {})[0])
    return {
      rows: number("SELECT count(*) FROM row"),
      rowBytes: number("SELECT coalesce(sum(length(bytes)), 0) FROM row"),
      freeBytes: number("PRAGMA freelist_count") * number("PRAGMA page_size"),
    }
  } finally {
    database.close()
  }
}

/** What the store would take if its pages were full: SQLite leaves room in them, and gives none back. */
export function packedBytes(directory: string): number {
  const file = readdirSync(directory).find((name) => name.endsWith(".sqlite"))
  if (file === undefined) return 0
  const database = new DatabaseSync(join(directory, file))
  const packed = join(directory, "packed")
  try {
    database.prepare("VACUUM INTO ?").run(packed)
    return statSync(packed).size
  } finally {
    database.close()
    rmSync(packed, { force: true })
  }
}

/** The memory of a process: now, and at most since it started. Undefined where there is no /proc. */
export function processMemory(
  pid: number,
): { readonly rssBytes: number; readonly peakBytes: number } | undefined {
  const file = `/proc/${pid}/status`
  if (!existsSync(file)) return undefined
  const text = readFileSync(file, "utf8")
  const kilobytes = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1])
  return { rssBytes: kilobytes("VmRSS") * 1024, peakBytes: kilobytes("VmHWM") * 1024 }
}
