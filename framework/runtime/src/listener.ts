/**
 * Tells a listener of the user's. What it throws is an uncaught exception of the process, as from any event listener; it
 * does not get in the way of the replica or the client that told it.
 */
export function tell<Event>(listener: ((event: Event) => void) | undefined, event: Event): void {
  try {
    listener?.(event)
  } catch (cause) {
    queueMicrotask(() => {
      throw cause
    })
  }
}
