/** A caller, and how the calls went that it made after the last fault. */
export interface FinalCalls {
  readonly caller: string
  readonly answered: number
  readonly wanted: number
}

/** After the last fault every caller is served again: a run that ends in silence proves nothing. */
export function checkTail(callers: ReadonlyArray<FinalCalls>): ReadonlyArray<string> {
  return callers
    .filter(({ answered, wanted }) => answered < wanted)
    .map(
      ({ caller, answered, wanted }) =>
        `${caller} was answered ${answered} of ${wanted} calls after the last fault`,
    )
}
