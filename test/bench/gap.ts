import { setTimeout as sleep } from "node:timers/promises"

/** Callers at a time, each on a key of its own. */
const CALLERS = 4
/** How long before a strike all must be well, and how long after one. */
const BEFORE_MS = 200
const AFTER_MS = 1000

/** What callers noticed of a strike. */
export interface Gap {
  /** The longest time without an answered call. */
  readonly longestMs: number
  /** Calls that ended with an error: nobody knows whether they took effect. */
  readonly failed: number
}

/**
 * Callers call without a pause, each as soon as its last call is answered, while something is done to the group. Resolves when they
 * are answered again after that.
 */
export async function gapOf(
  call: (caller: number) => Promise<unknown>,
  strike: () => Promise<unknown>,
): Promise<Gap> {
  let [answeredAtMs, longestMs, failed] = [performance.now(), 0, 0]
  const over = new AbortController()
  const caller = async (_: unknown, index: number): Promise<void> => {
    while (!over.signal.aborted)
      try {
        await call(index)
        const nowMs = performance.now()
        longestMs = Math.max(longestMs, nowMs - answeredAtMs)
        answeredAtMs = nowMs
      } catch {
        failed++
        await sleep(1)
      }
  }
  const callers = Array.from({ length: CALLERS }, caller)
  await sleep(BEFORE_MS)
  longestMs = 0
  await strike()
  const untilMs = performance.now() + AFTER_MS
  // a gap that has not ended yet is waited for
  while (performance.now() < untilMs || performance.now() - answeredAtMs > AFTER_MS / 2) await sleep(10)
  over.abort()
  await Promise.all(callers)
  return { longestMs, failed }
}
