import { createInbox } from "@nats-io/transport-node"
import type { Connection } from "./connection.ts"

/** Sends messages, and tells where nobody listened. */
export interface Asker {
  /** At most once. Where nobody listens on the subject at that moment, the token is told. */
  ask(subject: string, bytes: Uint8Array, token: number): void
  close(): void
}

/** With one subscription for all that is not heard: the server answers by itself where a subject has no listener. */
export function openAsker(connection: Connection, onUnheard: (token: number) => void): Asker {
  const { nats } = connection
  const inbox = `${createInbox()}.`
  const subscription = nats.subscribe(`${inbox}*`, {
    callback: (error, message) => {
      const token = Number(message.subject.slice(inbox.length))
      if (error === null && message.headers?.code === NO_RESPONDERS && Number.isSafeInteger(token))
        onUnheard(token)
    },
  })
  return {
    ask(subject, bytes, token) {
      if (!nats.isClosed()) nats.publish(subject, bytes, { reply: `${inbox}${token}` })
    },
    close() {
      if (!nats.isClosed()) subscription.unsubscribe()
    },
  }
}

const NO_RESPONDERS = 503
