/**
 * Makes so many calls, as callers do that each wait for their own answer before they call again: `open` of them are under way at
 * a time. Yields how long it took, milliseconds.
 */
export async function callAll(
  options: {
    readonly calls: number
    readonly open: number
    /** What each caller is in the midst of. */
    readonly within?: (caller: number, run: () => Promise<void>) => Promise<void>
  },
  call: (index: number) => Promise<unknown>,
): Promise<number> {
  let made = 0
  const run = async (): Promise<void> => {
    while (made < options.calls) await call(made++)
  }
  const within = options.within ?? ((_, alone) => alone())
  const start = performance.now()
  await Promise.all(Array.from({ length: options.open }, (_, caller) => within(caller, run)))
  return performance.now() - start
}

/** The latency of each of so many calls, one after the other, milliseconds. */
export async function latencies(
  calls: number,
  call: (index: number) => Promise<unknown>,
): Promise<Array<number>> {
  const took: Array<number> = []
  for (let i = 0; i < calls; i++) {
    const start = performance.now()
    await call(i)
    took.push(performance.now() - start)
  }
  return took
}
