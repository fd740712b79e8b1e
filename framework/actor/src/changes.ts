import { invariant, Unsupported } from "@lockstep/core"
import type { ActorDefinition } from "./definition.ts"
import type { Resident } from "./resident.ts"
import { type ActorRow, Frozen, frozenRow, rowOf } from "./row.ts"

/** The actors of one type that commands have run on. */
export interface Touched {
  readonly definition: ActorDefinition
  /** Since the last position that was marked. */
  since: Array<Resident>
  /** Before it, as far as they were not taken: the next one last. */
  owed: Array<Resident>
}

/**
 * Which actors commands have changed. A checkpoint marks a position, and takes the rows of what was changed until there, a few at a time,
 * while commands go on: an actor that one of them is about to run on is put into a row before.
 */
export class Changes {
  readonly #types: ReadonlyMap<string, Touched>
  readonly #onTaken: (resident: Resident, bytes: number, seq: number) => void
  /** Rows of actors that were needed again before they were taken. */
  #saved: Array<ActorRow> = []
  #markedSeq = 0

  constructor(
    definitions: Iterable<ActorDefinition>,
    onTaken: (resident: Resident, bytes: number, seq: number) => void,
  ) {
    this.#types = new Map(
      [...definitions].map((definition) => [definition.type, { definition, since: [], owed: [] }]),
    )
    this.#onTaken = onTaken
  }

  of(type: string): Touched | undefined {
    return this.#types.get(type)
  }

  /** A command is about to run on an actor that none has run on since the mark. */
  touch(touched: Touched, resident: Resident): void {
    if (resident.change === "owed") this.#saved.push(this.#rowOf(touched.definition, resident))
    resident.change = "touched"
    touched.since.push(resident)
  }

  /** What commands have changed up to this position is owed from here on. All that was owed before must have been taken. */
  mark(seq: number): void {
    invariant(this.owed === 0, "the rows of one checkpoint are taken before another one is marked")
    this.#markedSeq = seq
    for (const touched of this.#types.values()) {
      for (const resident of touched.since) resident.change = "owed"
      touched.owed = touched.since.toReversed()
      touched.since = []
    }
  }

  /** Rows that are left to be taken, at most: those that were saved count twice until their turn has come. */
  get owed(): number {
    let count = this.#saved.length
    for (const { owed } of this.#types.values()) count += owed.length
    return count
  }

  /**
   * Rows of what is owed, this many at most. An actor whose state is not made of data can neither be kept nor restored: it is frozen, and
   * refuses every command after the mark, on all replicas alike.
   */
  take(countMax = Number.POSITIVE_INFINITY): ReadonlyArray<ActorRow> {
    const rows = this.#saved.splice(0, countMax)
    for (const { definition, owed } of this.#types.values())
      while (rows.length < countMax) {
        const resident = owed.pop()
        if (resident === undefined) break
        if (resident.change === "owed") rows.push(this.#rowOf(definition, resident))
      }
    return rows
  }

  #rowOf(definition: ActorDefinition, resident: Resident): ActorRow {
    const { key, actor } = resident
    resident.change = "none"
    const row = rowOf(definition.version, actor)
    const bytes = row instanceof Unsupported ? freeze(definition, resident, row) : row
    this.#onTaken(resident, bytes.length, this.#markedSeq)
    return { type: definition.type, key, bytes }
  }
}

/** An actor whose state is no data refuses everything from now on. Yields its row. */
function freeze({ version }: ActorDefinition, resident: Resident, { message }: Unsupported): Uint8Array {
  const frozen = new Frozen(message)
  resident.actor = frozen
  return frozenRow(version, frozen)
}
