import { ownText } from "@lockstep/core"

/** An actor's place in memory. */
export class Resident {
  /** Where it is found by its key. */
  readonly home: Map<string, Resident>
  readonly key: string
  /** Itself, or what stands for it: one that sleeps, or that is frozen. */
  actor: object
  /** Whether the next checkpoint is to hold it anew, or the one that is under way, which has not taken its row yet. */
  change: "none" | "touched" | "owed" = "none"
  /** The last checkpoint that held it, and what it counted for then; 0 before the first. */
  keptSeq = 0
  keptBytes = 0

  constructor(home: Map<string, Resident>, key: string, actor: object) {
    this.home = home
    this.key = ownText(key) // or the whole entry would be kept with it
    this.actor = actor
  }
}
