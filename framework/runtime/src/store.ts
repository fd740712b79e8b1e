import { existsSync, mkdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { GroupName, Partition, ReplicaId } from "@lockstep/core"
import type { Checkpoint, CheckpointChanges } from "@lockstep/replication"

/**
 * The last checkpoint of one replica's partition, on disk (SQLite, synchronous = FULL). A checkpoint is there whole or not at
 * all. That its rows are what they were is not the file's promise: a checkpoint carries a digest of itself, and is checked when
 * a replica begins with it.
 */
export class CheckpointStore {
  readonly #file: string
  #database: DatabaseSync
  readonly #logId: string

  /** Opens the store of a partition under `directory`, which is made if it is not there. */
  constructor(
    directory: string,
    of: {
      readonly group: GroupName
      readonly replica: ReplicaId
      readonly partition: Partition
      readonly logId: string
    },
  ) {
    mkdirSync(directory, { recursive: true })
    this.#file = join(directory, `${of.group}-${of.partition}-${of.replica}.sqlite`)
    this.#logId = of.logId
    this.#database = open(this.#file)
  }

  /** The checkpoint that is there: of this log, not of another that was made in its place. */
  load(): Checkpoint | undefined {
    const header = this.#database.prepare("SELECT log, bytes FROM header").get() as // by the schema above
      { readonly log: string; readonly bytes: Uint8Array } | undefined
    if (header === undefined) return undefined
    if (header.log !== this.#logId) {
      this.wipe()
      return undefined
    }
    const rows = new Map<string, Uint8Array>()
    for (const row of this.#database.prepare("SELECT id, bytes FROM row").iterate()) {
      const { id, bytes } = row as { readonly id: string; readonly bytes: Uint8Array } // by the schema above
      rows.set(id, bytes)
    }
    return { header: header.bytes, rows }
  }

  /** On return it is on the disk. Throws where it cannot be, and then nothing of it is. */
  write(changes: CheckpointChanges): void {
    const set = this.#database.prepare("INSERT OR REPLACE INTO row (id, bytes) VALUES (?, ?)")
    const remove = this.#database.prepare("DELETE FROM row WHERE id = ?")
    this.#transaction(() => {
      for (const [id, bytes] of changes.rows) {
        if (bytes === undefined) remove.run(id)
        else set.run(id, bytes)
      }
      this.#database
        .prepare("INSERT OR REPLACE INTO header (id, log, bytes) VALUES (1, ?, ?)")
        .run(this.#logId, changes.header)
    })
  }

  /** Copies all of it beside the store, under a name with this ending. Yields the file, which may have been there before. */
  copy(ending: string): string {
    const file = `${this.#file}.${ending}`
    if (!existsSync(file)) this.#database.prepare("VACUUM INTO ?").run(file)
    return file
  }

  /** Begins with a new file: the old one cannot be read, or not be trusted. */
  recreate(): void {
    this.#database.close()
    for (const ending of ["", "-wal", "-shm"]) rmSync(`${this.#file}${ending}`, { force: true })
    this.#database = open(this.#file)
  }

  /** Forgets everything. */
  wipe(): void {
    this.#transaction(() => this.#database.exec("DELETE FROM row; DELETE FROM header"))
  }

  /** Bytes of rows, for an operator. */
  sizeBytes(): number {
    const { size } = this.#database
      .prepare("SELECT coalesce(sum(length(bytes)), 0) AS size FROM row")
      .get() as {
      readonly size: number
    } // one row with one number
    return size
  }

  close(): void {
    this.#database.close()
  }

  #transaction(work: () => void): void {
    // a setting of the connection, not of the file
    this.#database.exec("PRAGMA synchronous = FULL; BEGIN IMMEDIATE")
    try {
      work()
      this.#database.exec("COMMIT")
    } catch (cause) {
      // where the disk fails, SQLite has rolled back by itself
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK")
      throw cause
    }
  }
}

/** The database, which is made if it is not there. One that is there is looked at when it is read, not before. */
function open(file: string): DatabaseSync {
  const database = new DatabaseSync(file)
  if (existsSync(file) && statSync(file).size > 0) return database
  database.exec(`
    PRAGMA journal_mode = WAL;
    CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 1), log TEXT NOT NULL, bytes BLOB NOT NULL);
    CREATE TABLE row (id TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
  `)
  return database
}
