/** The system's clock is followed where it is this far from the monotonic one, milliseconds: it was set, or the machine slept. */
const DRIFT_MS_MAX = 2

let originMs = performance.timeOrigin

/** A moment that `performance.now()` has told, in milliseconds since 1970. Two of them are as far apart as they were. */
export function wallMs(monotonicMs: number): number {
  const driftMs = Date.now() - (originMs + performance.now())
  if (Math.abs(driftMs) > DRIFT_MS_MAX) originMs += driftMs
  return originMs + monotonicMs
}
