import type { TakenRow } from "./underway.ts"

/** A row that a record has changed, or that is kept in memory only. */
interface Row {
  readonly id: string
  /** As committed records left it; undefined where none has changed it, or the row is gone. */
  bytes: Uint8Array | undefined
  /** The last of those records. */
  position: number
  /** As the last record left it that is not committed. */
  ahead: Uint8Array | undefined
  aheadPosition: number
  /** Since a checkpoint was taken last. */
  isChanged: boolean
}

/**
 * Rows that the last checkpoint on the disk does not hold as they are. What records left behind that are not committed stands apart, so
 * that it can be taken back. A row that is changed again and again keeps its place: a Map whose entries come and go is garbage as a whole.
 */
export class Rows {
  readonly #rows = new Map<string, Row>()
  #changed: Array<Row> = []

  /** The row, as all records left it, or the committed ones. Undefined where it is what the checkpoint says. */
  get(id: string, seen: "committed" | "all"): Uint8Array | undefined {
    const row = this.#rows.get(id)
    return (seen === "all" ? row?.ahead : undefined) ?? row?.bytes
  }

  /** A record that is not committed has left it like this. */
  show(id: string, bytes: Uint8Array, position: number): void {
    const row = this.#rows.get(id) ?? this.#add(id)
    row.ahead = bytes
    row.aheadPosition = position
  }

  /** Nothing that is not committed can be seen any more. */
  hide(): void {
    for (const row of this.#rows.values()) {
      row.ahead = undefined
      if (isIdle(row)) this.#rows.delete(row.id)
    }
  }

  /** A committed record has left it like this; undefined: it is gone. Yields whether there was nothing of it here. */
  change(id: string, bytes: Uint8Array | undefined, position: number): boolean {
    const row = this.#rows.get(id) ?? this.#add(id)
    const isNew = row.bytes === undefined
    row.bytes = bytes
    row.position = position
    if (row.ahead !== undefined && row.aheadPosition <= position) row.ahead = undefined
    if (row.isChanged) return isNew
    row.isChanged = true
    this.#changed.push(row)
    return isNew
  }

  /** It is in a checkpoint that nobody can read again. */
  keep(id: string, bytes: Uint8Array): void {
    this.#add(id).bytes = bytes
  }

  /** What changed since a checkpoint was taken last. A row without bytes is gone. */
  get changed(): ReadonlyArray<{ readonly id: string; readonly bytes: Uint8Array | undefined }> {
    return this.#changed
  }

  /** A checkpoint is to be taken: what changed since the one before, as it is now. */
  take(): ReadonlyArray<TakenRow> {
    const changed = this.#changed
    this.#changed = []
    return changed.map((row) => {
      row.isChanged = false
      return [row.id, row.bytes] as const
    })
  }

  /** The checkpoint of this position is on the disk: what has not changed since can be read there. Yields these rows. */
  persisted(position: number): ReadonlyArray<readonly [id: string, bytes: Uint8Array]> {
    const persisted: Array<readonly [string, Uint8Array]> = []
    for (const row of this.#rows.values()) {
      if (row.bytes !== undefined && row.position <= position) {
        persisted.push([row.id, row.bytes])
        row.bytes = undefined
      }
      if (isIdle(row)) this.#rows.delete(row.id)
    }
    return persisted
  }

  #add(id: string): Row {
    const row: Row = {
      id,
      bytes: undefined,
      position: 0,
      ahead: undefined,
      aheadPosition: 0,
      isChanged: false,
    }
    this.#rows.set(id, row)
    return row
  }
}

function isIdle({ bytes, ahead, isChanged }: Row): boolean {
  return bytes === undefined && ahead === undefined && !isChanged
}
