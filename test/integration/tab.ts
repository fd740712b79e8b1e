import { Command, primaryBackup, Replicated } from "lockstep"

/** Adds up, at a master. */
@Replicated({ name: "test/Tab", version: 1, mode: primaryBackup({ replication: "synchronous" }) })
export class Tab {
  sum = 0

  @Command()
  add(amount: number): number {
    this.sum += amount
    return this.sum
  }
}

export const actors = [Tab]
