import { percentile } from "./measure.ts"

/**
 * Makes so many calls, as callers do that each wait for their own answer before they call again: `open` of them are under way at
 * a time. Yields how long it took, milliseconds.
 */
export async function callAll(
  options: {
    readonly calls: number
    readonly open: number
    /** What each caller makes its calls in the midst of, a few at a time. */
    readonly requests?: { readonly calls: number; within: (run: () => Promise<void>) => Promise<void> }
  },
  call: (index: number) => Promise<unknown>,
): Promise<number> {
  let made = 0
  const { calls: callsMax, within } = options.requests ?? { calls: Infinity, within: (run) => run() }
  const run = async (): Promise<void> => {
    for (let i = 0; i < callsMax && made < options.calls; i++) await call(made++)
  }
  const caller = async (): Promise<void> => {
    while (made < options.calls) await within(run)
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: options.open }, caller))
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

/** What a burst of calls came to. */
export interface Burst {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** The longest of them. */
  readonly longestMs: number
}

/** Calls for so long with so many callers, each of which waits for its answer before it calls again. */
export async function callFor(
  options: { readonly forMs: number; readonly open: number },
  call: (index: number) => Promise<unknown>,
): Promise<Burst> {
  let made = 0
  const over = AbortSignal.timeout(options.forMs)
  const took: Array<number> = []
  const caller = async (): Promise<void> => {
    while (!over.aborted) await call(made++)
  }
  const timedCaller = async (): Promise<void> => {
    while (!over.aborted) {
      const calledMs = performance.now()
      await call(made++)
      took.push(performance.now() - calledMs)
    }
  }
  const startMs = performance.now()
  await Promise.all(
    Array.from({ length: options.open }, (_, i) => (i < TIMED_CALLERS_MAX ? timedCaller() : caller())),
  )
  const tookMs = performance.now() - startMs
  const sorted = took.toSorted((a, b) => a - b)
  return {
    perSecond: made / (tookMs / 1000),
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    longestMs: sorted.at(-1) ?? Number.NaN,
  }
}

/** Looking at the clock twice for every call would cost plain code a tenth of its throughput. */
const TIMED_CALLERS_MAX = 64
