import { Command, primaryBackup, Query, Replicated } from "lockstep"
import { setTimeout as sleep } from "node:timers/promises"

const replication = process.env["REPLICATION"] === "asynchronous" ? "asynchronous" : "synchronous"

/** Remembers what was recorded, in order; one replica executes it, and takes its time. */
@Replicated({ name: "test/OnceLedger", version: 1, mode: primaryBackup({ replication }) })
export class OnceLedger {
  ids: Array<string> = []

  /** Returns the place of the entry, from 0. */
  @Command()
  async record(id: string): Promise<number> {
    await sleep(1)
    return this.ids.push(id) - 1
  }

  @Query()
  all(): ReadonlyArray<string> {
    return this.ids
  }
}

export const actors = [OnceLedger]
