/**
 * A way to replicate, as a class's decorator names it. Only data: what a mode does is in the replication package, which
 * extends this.
 */
export interface Mode {
  /** The folder of the replication package that implements it. */
  readonly kind: string
  /** How many replicas must execute a class of this mode, at least. */
  readonly replicas: number
}
