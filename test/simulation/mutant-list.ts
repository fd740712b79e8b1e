/** A deliberate bug: one place of one source file, changed while it is loaded. It never exists in a build. */
export interface Mutant {
  readonly name: string
  /** What would go wrong. */
  readonly bug: string
  readonly file: string
  readonly find: string
  readonly replace: string
  /** The simulator must find it within this many seeds, from 0 on. */
  readonly seedsMax: number
  /** The mode whose worlds must show it. Default: the state machine. */
  readonly mode?: "primary-backup"
}
