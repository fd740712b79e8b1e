import { connect } from "@nats-io/transport-node"
import type { Peer } from "../contender.ts"
import { startScript } from "./program.ts"

const TIMEOUT_MS = 60_000

/** The ceiling: a request and its reply, with one process that answers and remembers nothing. */
export async function startNats(servers: string): Promise<Peer> {
  const responder = await startScript("nats-responder.ts", [servers])
  const nats = await connect({ servers })
  return {
    name: "NATS: request and reply",
    terms: {
      synced: "never",
      copies: 0,
      executed: 1,
      about: "no log: one responder, one connection, a message for each call; nothing survives the responder",
    },
    counter: (key) => async () =>
      Number((await nats.request("count", key, { timeout: TIMEOUT_MS })).string()),
    async [Symbol.asyncDispose]() {
      await nats.close()
      await responder[Symbol.asyncDispose]()
    },
  }
}
