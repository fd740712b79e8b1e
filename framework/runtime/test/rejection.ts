/** What a promise was rejected with: an error, in words for the one who called. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  const cause: unknown = await promise.then(
    (value) => `nothing was thrown, and ${JSON.stringify(value)} returned`,
    (error: unknown) => error,
  )
  if (!(cause instanceof Error)) throw new TypeError(`an error was expected: ${String(cause)}`)
  if (JARGON.test(cause.message)) throw new TypeError(`this is no message for a caller: ${cause.message}`)
  return cause
}

/** Words of the libraries below, and traces of the stack. */
const JARGON =
  /\$JS|JetStream|nats-io|ClosedConnection|\bEffect\b|Schema(Error|Issue)|Cause|Fiber|node_modules|\n\s*at |\.[jt]s:\d/
