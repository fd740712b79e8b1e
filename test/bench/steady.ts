import { setTimeout as sleep } from "node:timers/promises"
import { percentile } from "./measure.ts"

/** One call of a steady stream of calls. */
export interface Sent {
  /** When it was meant to be made, whether or not this process got to it then. */
  readonly dueMs: number
  /** When it was answered, or failed. */
  readonly endedMs: number
  readonly failed: boolean
}

/**
 * Makes calls at a steady rate, whatever becomes of them, until the signal. Yields each of them when all have ended. A call that
 * could not be made in time waited all the same: it counts from when it was due.
 */
export async function callSteadily(
  options: { readonly perSecond: number; readonly signal: AbortSignal },
  call: (index: number) => Promise<unknown>,
): Promise<ReadonlyArray<Sent>> {
  const sent: Array<Sent> = []
  const underWay: Array<Promise<void>> = []
  const startMs = performance.now()
  const dueMs = (index: number): number => startMs + (index * 1000) / options.perSecond
  const send = async (index: number): Promise<void> => {
    let failed = false
    try {
      await call(index)
    } catch {
      failed = true
    }
    sent.push({ dueMs: dueMs(index), endedMs: performance.now(), failed })
  }
  for (let index = 0; !options.signal.aborted; await sleep(1))
    while (dueMs(index) <= performance.now()) underWay.push(send(index++))
  await Promise.all(underWay)
  return sent
}

/** A part of the time in which calls were made. */
export interface Phase {
  readonly fromMs: number
  readonly toMs: number
}

/** What callers noticed in a phase. */
export interface Noticed {
  readonly calls: number
  /** From when a call was due to its end, however it ended. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** The longest time without an answer. */
  readonly gapMs: number
  readonly failed: number
}

/** What was noticed in this phase of the calls that were due in it. A gap belongs to the phase in which its middle lies. */
export function noticed(sent: ReadonlyArray<Sent>, { fromMs, toMs }: Phase): Noticed {
  const isWithin = (timeMs: number): boolean => timeMs >= fromMs && timeMs < toMs
  const due = sent.filter(({ dueMs }) => isWithin(dueMs))
  const sorted = due.map(({ dueMs, endedMs }) => endedMs - dueMs).toSorted((a, b) => a - b)
  const answeredMs = sent
    .flatMap(({ endedMs, failed }) => (failed ? [] : [endedMs]))
    .toSorted((a, b) => a - b)
  let gapMs = 0
  for (const [i, atMs] of answeredMs.entries()) {
    const lastMs = answeredMs[i - 1] ?? atMs
    if (isWithin((lastMs + atMs) / 2)) gapMs = Math.max(gapMs, atMs - lastMs)
  }
  return {
    calls: due.length,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    gapMs,
    failed: due.filter(({ failed }) => failed).length,
  }
}
