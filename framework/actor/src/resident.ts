import { ownText } from "@lockstep/core"

/** An actor's place in memory. */
export class Resident {
  readonly key: string
  /** Itself, or what stands for it: one that sleeps, or that is frozen. */
  actor: object
  /** Whether a command has run on it since changes were taken last. */
  isTouched = false

  constructor(key: string, actor: object) {
    this.key = ownText(key) // or the whole entry would be kept with it
    this.actor = actor
  }
}
