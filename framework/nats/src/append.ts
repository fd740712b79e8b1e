import type { GroupName, Partition } from "@lockstep/core"
import { createInbox, type Msg } from "@nats-io/transport-node"
import type { Connection } from "./connection.ts"
import { Patience } from "./patience.ts"
import { entrySubject, streamName, type Writer } from "./subjects.ts"

/** What the log said of an entry. */
export type AppendResult =
  | { readonly _tag: "Appended"; readonly seq: number }
  /** It is certainly not in the log. */
  | {
      readonly _tag: "Refused"
      readonly reason: "full" | "too-large"
      readonly detail: string
    }
  /** It may or may not be in the log. */
  | { readonly _tag: "Unknown"; readonly detail: string }

export interface Appender {
  /** Sends one entry. The result comes with the same token, or never: the caller's protocol has timers of its own. */
  append(payload: Uint8Array, token: number): void
  close(): void
}

/**
 * Appends entries to one partition's log, with one subscription for all acknowledgements: 1.3–5 times quicker than the
 * client library's own publish.
 */
export function openAppender(
  connection: Connection,
  log: { readonly group: GroupName; readonly partition: Partition; readonly writer: Writer },
  onResult: (token: number, result: AppendResult) => void,
): Appender {
  const { nats } = connection
  const stream = streamName(log.group, log.partition)
  const subject = entrySubject(log.group, log.partition, log.writer)
  const inbox = `${createInbox()}.`
  const patience = new Patience(() => connection.leave())
  const acks = nats.subscribe(`${inbox}*`, {
    callback: (error, message) => {
      if (error !== null) return
      const token = Number(message.subject.slice(inbox.length))
      const result = resultOf(message, stream)
      if (result._tag !== "Unknown") patience.answered()
      if (Number.isSafeInteger(token)) onResult(token, result)
    },
  })
  return {
    append(payload, token) {
      if (nats.isClosed()) return onResult(token, { _tag: "Unknown", detail: "the connection is closed" })
      patience.asked(performance.now())
      try {
        nats.publish(subject, payload, { reply: `${inbox}${token}` })
      } catch {
        // the one thing that the client library refuses by itself is a payload over the server's max_payload
        onResult(token, { _tag: "Refused", reason: "too-large", detail: said("too-large") })
      }
    },
    close() {
      if (!nats.isClosed()) acks.unsubscribe()
    },
  }
}

/** Appends one entry, and waits for what the log says of it, for a while: what came to nothing is unknown. */
export function append(
  connection: Connection,
  log: { readonly group: GroupName; readonly partition: Partition; readonly writer: Writer },
  payload: Uint8Array,
): Promise<AppendResult> {
  return new Promise((resolve) => {
    const end = (result: AppendResult): void => {
      clearTimeout(timer)
      appender.close()
      resolve(result)
    }
    const appender = openAppender(connection, log, (_, result) => end(result))
    const timer = setTimeout(() => end({ _tag: "Unknown", detail: "the log said nothing" }), APPEND_MS_MAX)
    appender.append(payload, 0)
  })
}

const APPEND_MS_MAX = 5000

function resultOf(message: Msg, stream: string): AppendResult {
  if (message.headers !== undefined && message.headers.code >= 500)
    return { _tag: "Unknown", detail: "nobody listens for the log's entries at this moment" }
  const text = message.string()
  // as the server writes it: parsed as JSON, it costs a caller with one call at a time 8 µs more
  const taken = `{"stream":"${stream}","seq":`
  const seq = text.startsWith(taken) ? Number.parseInt(text.slice(taken.length), 10) : 0
  if (seq > 0) return { _tag: "Appended", seq }
  let ack: PubAck
  try {
    ack = JSON.parse(text) as PubAck // checked field by field below
  } catch {
    return { _tag: "Unknown", detail: "the acknowledgement is not understood" }
  }
  if (ack.error !== undefined) return refusalOf(ack.error)
  if (ack.stream === stream && typeof ack.seq === "number") return { _tag: "Appended", seq: ack.seq }
  return { _tag: "Unknown", detail: `the entry was stored in ${String(ack.stream)}, not in ${stream}` }
}

interface PubAck {
  readonly stream?: unknown
  readonly seq?: unknown
  readonly error?: { readonly err_code?: number; readonly description?: string }
}

/** JetStream error codes that say that the entry was not stored. Everything else is ambiguous. */
const REFUSALS: ReadonlyMap<number, "full" | "too-large"> = new Map([
  [10077, "full"], // maximum bytes exceeded, with discard: new
  [10054, "too-large"], // message larger than max_msg_size
  [10047, "full"], // insufficient storage
])

function refusalOf(error: { readonly err_code?: number; readonly description?: string }): AppendResult {
  const reason = REFUSALS.get(error.err_code ?? 0)
  const detail = `${error.description ?? "no reason given"} (${error.err_code ?? 0})`
  return reason === undefined
    ? { _tag: "Unknown", detail }
    : { _tag: "Refused", reason, detail: said(reason) }
}

function said(reason: "full" | "too-large"): string {
  switch (reason) {
    case "full":
      return "the log is full: it must be truncated, or given more room"
    case "too-large":
      return "the entry is larger than the log allows"
  }
}
