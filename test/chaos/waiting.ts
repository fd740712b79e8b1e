import { setTimeout as sleep } from "node:timers/promises"

/** What waiting does not mend. */
export class Fatal extends Error {}

/** How often it is looked again, where the caller does not say. */
const EVERY_MS = 100

/** Tries until there is a value. What a try throws counts only where it is all that there is to say at the end. */
export async function within<Value>(
  what: string,
  attempt: () => Promise<Value | undefined>,
  { timeMsMax, everyMs = EVERY_MS }: { readonly timeMsMax: number; readonly everyMs?: number },
): Promise<Value> {
  const deadline = performance.now() + timeMsMax
  let reason = ""
  while (performance.now() < deadline) {
    try {
      const value = await attempt()
      if (value !== undefined) return value
      reason = ""
    } catch (cause) {
      if (cause instanceof Fatal) throw cause
      reason = cause instanceof Error ? `: ${cause.message}` : `: ${String(cause)}`
    }
    await sleep(everyMs)
  }
  throw new Error(`not so within ${timeMsMax / 1000} s: ${what}${reason}`)
}
