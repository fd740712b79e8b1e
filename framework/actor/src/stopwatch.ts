import type { Member } from "./definition.ts"

/** Measures how long commands take, and changes nothing of what they come to. */
export interface Stopwatch {
  /** A command begins to run. Undefined where nobody wants to know how long this one takes. */
  start(): Lap | undefined
}

/** A command has been run; these are the bytes of what it came to. */
export type Lap = (type: string, member: Member, outcome: Uint8Array) => void
