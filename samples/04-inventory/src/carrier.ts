import { setTimeout as sleep } from "node:timers/promises"
import { DatabaseSync } from "node:sqlite"

/** What the carrier has written down. */
export interface Booking {
  readonly id: string
  /** How often it was asked for. */
  readonly asked: number
}

/** The outside world: a carrier that books shipments, in a database of its own. */
export class Carrier implements Disposable {
  readonly #database: DatabaseSync

  constructor(file: string) {
    this.#database = new DatabaseSync(file)
    this.#database.exec(`
      PRAGMA busy_timeout = 5000;
      PRAGMA journal_mode = WAL;
      CREATE TABLE IF NOT EXISTS booking (id TEXT PRIMARY KEY, asked INTEGER NOT NULL) STRICT;
    `)
  }

  /** Whoever asks again under the same id gets the same shipment. */
  async book(id: string): Promise<void> {
    await sleep(1) // the way there
    this.#database
      .prepare("INSERT INTO booking VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET asked = asked + 1")
      .run(id)
  }

  bookings(): ReadonlyArray<Booking> {
    return this.#database
      .prepare("SELECT id, asked FROM booking ORDER BY rowid")
      .all()
      .map(({ id, asked }) => ({ id: String(id), asked: Number(asked) }))
  }

  [Symbol.dispose](): void {
    this.#database.close()
  }
}

let connected: Carrier | undefined

/** The carrier of this process: `CARRIER` names its file. */
export function carrier(): Carrier {
  return (connected ??= new Carrier(process.env["CARRIER"] ?? "carrier.sqlite"))
}
