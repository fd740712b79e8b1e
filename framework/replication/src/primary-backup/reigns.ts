import type { Entry, Roster } from "@lockstep/core"
import type { Certificates } from "../mode.ts"
import type { Rules } from "./mode.ts"

/** To be written. */
export class Reigns implements Certificates {
  constructor(_rules: Rules, _roster: Roster) {}
  read(_entries: ReadonlyArray<Entry>): void {}
  get durable(): { readonly seq: number } | undefined {
    return undefined
  }
}
