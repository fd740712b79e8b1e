/** Something that a correct Lockstep never does. A bug, so it crashes: it is not an error that a caller handles. */
export class InvariantViolated extends Error {
  override readonly name = "InvariantViolated"
}

export function invariant(condition: boolean, theorem: string): asserts condition {
  if (!condition) throw new InvariantViolated(`invariant violated: ${theorem}`)
}
