import { ActorError, Command, erasureCoded, Query, Replicated, stateMachine } from "lockstep"

const checkpoints = process.env["CHECKPOINTS"] === "shards" ? erasureCoded({ data: 2, parity: 1 }) : undefined
const mode = stateMachine({ faults: 1, faultModel: "byzantine", ...(checkpoints && { checkpoints }) })

/** Entries: some 20 bytes each, of a result's megabyte. A fast machine records more than that while a test waits. */
const PAGE = 20_000

/** Remembers what was recorded, in order: an entry that is lost, doubled or moved shows at once. */
@Replicated({ name: "test/Ledger", version: 1, mode })
export class Ledger {
  ids: Array<string> = []

  /** Returns the place of the entry, from 0. */
  @Command()
  record(id: string): number {
    return this.ids.push(id) - 1
  }

  /** The entries from this place on, as many as fit into one result. */
  @Query()
  entries(from: number): ReadonlyArray<string> {
    return this.ids.slice(from, from + PAGE)
  }
}

/** The next build: it knows how many entries of a ledger come from the one before. */
@Replicated({
  name: "test/Ledger",
  version: 2,
  mode,
  migrations: {
    1: ({ ids }: { readonly ids: ReadonlyArray<string> }) => ({ ids, inherited: ids.length }),
  },
})
export class NextLedger {
  ids: Array<string> = []
  inherited = 0

  @Command()
  record(id: string): number {
    return this.ids.push(id) - 1
  }

  /** The entries from this place on, as many as fit into one result. */
  @Query()
  entries(from: number): ReadonlyArray<string> {
    return this.ids.slice(from, from + PAGE)
  }

  @Query()
  inheritance(): number {
    return this.inherited
  }
}

/** A build that is wrong from its hundredth entry on, in the way that the environment names. */
@Replicated({ name: "test/Ledger", version: 1, mode })
class FaultyLedger extends Ledger {
  @Command()
  override record(id: string): number {
    const place = super.record(id)
    if (place < 100) return place
    switch (process.env["FAULT"]) {
      case "value":
        return place + 1
      case "state":
        this.ids.reverse()
        return place
      case "flip":
        if (!flipped) this.ids.reverse()
        flipped = true
        return place
      case "error":
        throw new ActorError("Broken", { place })
      default:
        return place
    }
  }

  @Query()
  override entries(from: number): ReadonlyArray<string> {
    return process.env["FAULT"] === "value" ? [] : super.entries(from)
  }
}

/** Once in the life of a process. */
let flipped = false

/** What a replica of the tests hosts: the correct build of the version in BUILD, unless FAULT names a fault. */
export const actors = [
  process.env["BUILD"] === "2" ? NextLedger : process.env["FAULT"] === undefined ? Ledger : FaultyLedger,
]
