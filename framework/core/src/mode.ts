/**
 * A way to replicate, as a class's decorator names it. Only data: what a mode does is in the replication package, which
 * extends this.
 */
export interface Mode {
  /** The folder of the replication package that implements it. */
  readonly kind: string
  /** How many replicas must execute a class of this mode, at least. */
  readonly replicas: number
  /**
   * Who executes a command. `"everywhere"`: every replica does, so it must be synchronous, and nothing but its arguments, state and context may decide
   * what it comes to. `"once"`: one replica does, and the others are given what it came to.
   */
  readonly execution: "everywhere" | "once"
}
