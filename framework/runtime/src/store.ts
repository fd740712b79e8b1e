import { existsSync, mkdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync, type StatementSync } from "node:sqlite"
import {
  bucketDigest,
  BUCKETS,
  type Digest,
  type GroupName,
  type Partition,
  type ReplicaId,
} from "@lockstep/core"
import {
  type Checkpoint,
  type CheckpointChanges,
  type Library,
  placeOf,
  type Shelf,
  type StagedBucket,
  type StagedCheckpoint,
} from "@lockstep/replication"

/**
 * The last checkpoints of one replica's partition, on disk (SQLite, synchronous = FULL): the newest one, and older ones back to the
 * last that is surely agreed on, as versions of rows. A checkpoint is there whole or not at all. That its rows are what they were is
 * not the file's promise: a checkpoint carries a digest of itself, and is checked when a replica begins with it.
 */
export class CheckpointStore implements Shelf, Library {
  readonly #file: string
  #database: DatabaseSync
  #prepared: Statements | undefined
  readonly #logId: string
  readonly #rows: RowSize
  /** What each checkpoint since the oldest changed, in the order of the file, so that old versions are found when it goes. */
  #changed = new Map<number, ReadonlyArray<Change>>()

  /** Opens the store of a partition under `directory`, which is made if it is not there. */
  constructor(
    directory: string,
    of: {
      readonly group: GroupName
      readonly replica: ReplicaId
      readonly partition: Partition
      readonly logId: string
    },
    rows: RowSize = "small",
  ) {
    mkdirSync(directory, { recursive: true })
    this.#file = join(directory, `${of.group}-${of.partition}-${of.replica}.sqlite`)
    this.#logId = of.logId
    this.#rows = rows
    this.#database = open(this.#file, rows)
  }

  /** The newest checkpoint: of this log, not of another that was made in its place. Its rows are read as they are needed. */
  load(): Checkpoint | undefined {
    const newest = this.#statements.newest.get() as HeaderRow | undefined // by the schema below
    if (newest === undefined) return undefined
    if (newest.log !== this.#logId) {
      this.wipe()
      return undefined
    }
    this.#findChanges()
    return { header: newest.header, rows: this.rows() }
  }

  /** The rows of the newest checkpoint. */
  *rows(): Generator<readonly [string, Uint8Array]> {
    // versions of one row stand one behind the other, the newest first
    let last: string | undefined
    for (const row of this.#database
      .prepare("SELECT id, bytes FROM row ORDER BY bucket, id, seq DESC")
      .iterate()) {
      const { id, bytes } = row as unknown as VersionRow // by the schema below
      if (id !== last && bytes !== null) yield [id, bytes]
      last = id
    }
  }

  /** A row of the newest checkpoint. */
  read(id: string): Uint8Array | undefined {
    const row = this.#statements.row.get(placeOf(id), id) as VersionRow | undefined // by the schema below
    return row?.bytes ?? undefined
  }

  manifest(
    seq: number,
  ): { readonly header: Uint8Array; readonly buckets: ReadonlyArray<Digest> } | undefined {
    const kept = this.#statements.checkpoint.get(seq) as HeaderRow | undefined // by the schema below
    if (kept === undefined) return undefined
    const buckets = Array.from({ length: BUCKETS }, () => EMPTY_BUCKET)
    for (const row of this.#statements.buckets.iterate(seq)) {
      const { bucket, digest } = row as { readonly bucket: number; readonly digest: Digest } // by the schema below
      buckets[bucket] = digest
    }
    return { header: kept.header, buckets }
  }

  bucket(seq: number, index: number): ReadonlyMap<string, Uint8Array> {
    const rows = new Map<string, Uint8Array>()
    for (const row of this.#statements.bucketRows.iterate(index, seq)) {
      const { id, bytes } = row as unknown as VersionRow // by the schema below
      if (bytes === null) rows.delete(id)
      else rows.set(id, bytes)
    }
    return rows
  }

  /** As `writing`, all at once. */
  write(changes: CheckpointChanges, floor = 0): void {
    for (const _ of this.writing(changes, floor));
  }

  /**
   * When it is done it is on the disk. Throws where it cannot be, and then nothing of it is; nor where nobody goes on with it. It is done a part at a
   * time, and until the last one nothing else may be written: reading is allowed. Checkpoints before the last one that is not above `floor` go.
   */
  *writing(changes: CheckpointChanges, floor = 0): Generator<void, void> {
    const { seq, header, rows, buckets } = changes
    const { setRow, setBucket, setCheckpoint } = this.#statements
    const placed = yield* inPlace(rows)
    const changed: Array<Change> = []
    this.#begin("now")
    try {
      for (const [bucket, id, bytes] of placed) {
        setRow.run(bucket, id, seq, bytes ?? null)
        if (changed.push({ bucket, id, isGone: bytes === undefined }) % PART_ROWS === 0) yield
      }
      for (const [bucket, digest] of buckets) setBucket.run(bucket, seq, digest)
      yield
      setCheckpoint.run(seq, this.#logId, header)
      yield* this.#prune(floor, [...this.#changed, [seq, changed]])
      this.#database.exec("COMMIT")
    } finally {
      this.#rollBack()
    }
    this.#changed.set(seq, changed)
    const oldest = this.#oldest
    for (const old of this.#changed.keys()) if (old <= oldest) this.#changed.delete(old)
  }

  /** Keeps a bucket of a peer's checkpoint aside. (Where it is lost or damaged after all, the checkpoint's digest shows it.) */
  stage({ digest, rows }: StagedBucket): void {
    this.#transaction(() => {
      for (const [id, bytes] of rows) this.#statements.stage.run(digest, id, bytes)
    }, "later")
  }

  /** The digests of buckets that are kept aside. */
  staged(): ReadonlyArray<Digest> {
    const rows = this.#database.prepare("SELECT DISTINCT digest FROM staged").all()
    return rows.map((row) => row["digest"] as Digest) // by the schema below
  }

  /** Puts a checkpoint, whose buckets are kept aside, in place of all that is there. */
  install({ seq, header, buckets }: StagedCheckpoint): void {
    this.#transaction(() => {
      this.#database.exec("DELETE FROM row; DELETE FROM bucket; DELETE FROM checkpoint")
      const move = this.#database.prepare(
        "INSERT INTO row (bucket, id, seq, bytes) SELECT ?, id, ?, bytes FROM staged WHERE digest = ?",
      )
      for (const [index, digest] of buckets) {
        move.run(index, seq, digest)
        this.#statements.setBucket.run(index, seq, digest)
      }
      this.#statements.setCheckpoint.run(seq, this.#logId, header)
      this.#database.exec("DELETE FROM staged")
    })
    this.#changed.clear()
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
    this.#database = open(this.#file, this.#rows)
    this.#prepared = undefined
    this.#changed.clear()
  }

  /** Forgets everything. */
  wipe(): void {
    const all = "DELETE FROM row; DELETE FROM bucket; DELETE FROM checkpoint; DELETE FROM staged"
    this.#transaction(() => this.#database.exec(all))
    this.#changed.clear()
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

  /** Bytes of its files. */
  fileBytes(): number {
    let bytes = 0
    for (const ending of ["", "-wal"])
      bytes += statSync(`${this.#file}${ending}`, { throwIfNoEntry: false })?.size ?? 0
    return bytes
  }

  close(): void {
    this.#database.close()
  }

  get #statements(): Statements {
    return (this.#prepared ??= new Statements(this.#database))
  }

  get #oldest(): number {
    const { seq } = this.#statements.oldest.get() as { readonly seq: number | null } // one row
    return seq ?? 0
  }

  /** Removes what only checkpoints before the last one at or below `floor` need: themselves first, so that nobody reads what is left of them. */
  *#prune(
    floor: number,
    changed: ReadonlyArray<readonly [seq: number, changes: ReadonlyArray<Change>]>,
  ): Generator<void, void> {
    const { base, olderVersions, goneRow, oldDigests, oldCheckpoints } = this.#statements
    const { seq } = base.get(floor) as { readonly seq: number | null } // one row
    const oldest = this.#oldest
    if (seq === null || seq === oldest) return
    oldCheckpoints.run(seq)
    const buckets = new Set<number>()
    let rows = 0
    for (const [at, changes] of changed) {
      if (at <= oldest || at > seq) continue
      for (const { bucket, id, isGone } of changes) {
        olderVersions.run(bucket, id, at)
        if (isGone) goneRow.run(bucket, id, at)
        buckets.add(bucket)
        if (++rows % PART_ROWS === 0) yield
      }
    }
    for (const bucket of buckets) oldDigests.run(bucket, bucket, seq)
  }

  /** After a start it is found out again what changed since the oldest checkpoint. */
  #findChanges(): void {
    const changed = new Map<number, Array<Change>>()
    for (const row of this.#database
      .prepare(
        "SELECT bucket, id, seq, bytes IS NULL AS gone FROM row WHERE seq > ? ORDER BY bucket, id, seq",
      )
      .iterate(this.#oldest)) {
      const { seq, bucket, id, gone } = row as unknown as ChangeRow // by the schema below
      const change = { bucket, id, isGone: gone === 1 }
      const changes = changed.get(seq)
      if (changes === undefined) changed.set(seq, [change])
      else changes.push(change)
    }
    this.#changed = changed
  }

  /** `"later"`: it is on the disk some time. */
  #transaction(work: () => void, synced: "now" | "later" = "now"): void {
    this.#begin(synced)
    try {
      work()
      this.#database.exec("COMMIT")
    } finally {
      this.#rollBack()
    }
  }

  #begin(synced: "now" | "later"): void {
    // a setting of the connection, not of the file
    this.#database.exec(`PRAGMA synchronous = ${synced === "now" ? "FULL" : "NORMAL"}; BEGIN IMMEDIATE`)
  }

  /** What was not committed is as if it had never been. Where the disk fails, SQLite has rolled back by itself. */
  #rollBack(): void {
    if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec("ROLLBACK")
  }
}

/** What is prepared once, because it runs often. */
class Statements {
  readonly newest: StatementSync
  readonly oldest: StatementSync
  readonly base: StatementSync
  readonly checkpoint: StatementSync
  readonly row: StatementSync
  readonly bucketRows: StatementSync
  readonly buckets: StatementSync
  readonly setRow: StatementSync
  readonly setBucket: StatementSync
  readonly setCheckpoint: StatementSync
  readonly stage: StatementSync
  readonly olderVersions: StatementSync
  readonly goneRow: StatementSync
  readonly oldDigests: StatementSync
  readonly oldCheckpoints: StatementSync

  constructor(database: DatabaseSync) {
    const prepare = (sql: string): StatementSync => database.prepare(sql)
    this.newest = prepare("SELECT log, header FROM checkpoint ORDER BY seq DESC LIMIT 1")
    this.oldest = prepare("SELECT min(seq) AS seq FROM checkpoint")
    this.base = prepare("SELECT max(seq) AS seq FROM checkpoint WHERE seq <= ?")
    this.checkpoint = prepare("SELECT log, header FROM checkpoint WHERE seq = ?")
    this.row = prepare("SELECT id, bytes FROM row WHERE bucket = ? AND id = ? ORDER BY seq DESC LIMIT 1")
    this.bucketRows = prepare("SELECT id, bytes FROM row WHERE bucket = ? AND seq <= ? ORDER BY id, seq")
    this.buckets = prepare("SELECT bucket, digest FROM bucket WHERE seq <= ? ORDER BY bucket, seq")
    this.setRow = prepare("INSERT OR REPLACE INTO row (bucket, id, seq, bytes) VALUES (?, ?, ?, ?)")
    this.setBucket = prepare("INSERT OR REPLACE INTO bucket (bucket, seq, digest) VALUES (?, ?, ?)")
    this.setCheckpoint = prepare("INSERT OR REPLACE INTO checkpoint (seq, log, header) VALUES (?, ?, ?)")
    this.stage = prepare("INSERT OR REPLACE INTO staged (digest, id, bytes) VALUES (?, ?, ?)")
    this.olderVersions = prepare("DELETE FROM row WHERE bucket = ? AND id = ? AND seq < ?")
    this.goneRow = prepare("DELETE FROM row WHERE bucket = ? AND id = ? AND seq <= ? AND bytes IS NULL")
    this.oldDigests = prepare(
      `DELETE FROM bucket WHERE bucket = ?
       AND seq < (SELECT max(seq) FROM bucket WHERE bucket = ? AND seq <= ?)`,
    )
    this.oldCheckpoints = prepare("DELETE FROM checkpoint WHERE seq < ?")
  }
}

/** Rows as they stand in the file, bucket by bucket: so each page of it is touched once, and not once for each of its rows. */
function* inPlace(rows: CheckpointChanges["rows"]): Generator<void, Iterable<Placed>> {
  const places: Array<Array<Placed> | undefined> = []
  let placed = 0
  for (const [id, bytes] of rows) {
    const bucket = placeOf(id)
    ;(places[bucket] ??= []).push([bucket, id, bytes])
    if (++placed % PART_ROWS === 0) yield
  }
  return places.flatMap((place) => place ?? [])
}

type Placed = readonly [bucket: number, id: string, bytes: Uint8Array | undefined]

/** Rows that are written before anything else can be done: about half a millisecond. */
const PART_ROWS = 128

/** The database, which is made if it is not there. One that is there is looked at when it is read, not before. */
function open(file: string, rows: RowSize): DatabaseSync {
  const database = new DatabaseSync(file)
  if (existsSync(file) && statSync(file).size > 0) return database
  database.exec(`
    PRAGMA page_size = ${rows === "small" ? 4096 : 16_384};
    PRAGMA journal_mode = WAL;
    CREATE TABLE checkpoint (seq INTEGER PRIMARY KEY, log TEXT NOT NULL, header BLOB NOT NULL);
    CREATE TABLE row (bucket INTEGER NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, bytes BLOB,
      PRIMARY KEY (bucket, id, seq)) WITHOUT ROWID;
    CREATE TABLE bucket (bucket INTEGER NOT NULL, seq INTEGER NOT NULL, digest TEXT NOT NULL,
      PRIMARY KEY (bucket, seq)) WITHOUT ROWID;
    CREATE TABLE staged (digest TEXT NOT NULL, id TEXT NOT NULL, bytes BLOB NOT NULL,
      PRIMARY KEY (digest, id)) WITHOUT ROWID;
  `)
  return database
}

/** Shards are larger than rows: a page that holds less than four of them would leave much of itself empty. */
export type RowSize = "small" | "large"

interface HeaderRow {
  readonly log: string
  readonly header: Uint8Array
}

/** A row as one checkpoint left it; without bytes, it was gone. */
interface VersionRow {
  readonly id: string
  readonly bytes: Uint8Array | null
}

/** A row that a checkpoint left as it was not before. */
interface Change {
  readonly bucket: number
  readonly id: string
  readonly isGone: boolean
}

interface ChangeRow extends Pick<Change, "bucket" | "id"> {
  readonly seq: number
  readonly gone: number
}

const EMPTY_BUCKET = bucketDigest(new Map())
