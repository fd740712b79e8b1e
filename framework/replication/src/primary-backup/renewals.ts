import type { Entry } from "@lockstep/core"
import { authentic } from "../authentic.ts"
import type { Certificates } from "../mode.ts"

/** What masters say of the log that nobody in sync needs any more. */
export class Renewals implements Certificates {
  #below = 0

  read(entries: ReadonlyArray<Entry>): void {
    for (const entry of entries) {
      const envelope = authentic(entry)
      if (envelope?._tag === "Renewal") this.#below = Math.max(this.#below, envelope.logBelow)
    }
  }

  get durable(): { readonly seq: number } | undefined {
    return this.#below > 0 ? { seq: this.#below } : undefined
  }
}
