/** Whether a command returned something to wait for. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === "object" || typeof value === "function") &&
    value !== null &&
    "then" in value &&
    typeof value.then === "function"
  )
}

/** Nobody waits for what an async command promises, and its rejection must not end the process. */
export function ignore(promise: PromiseLike<unknown>): void {
  if (promise instanceof Promise) void promise.catch(() => undefined)
}
