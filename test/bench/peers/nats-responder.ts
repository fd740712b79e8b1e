import { connect } from "@nats-io/transport-node"

/** Answers requests: one number per key, in this process's memory. */
const [, , servers = ""] = process.argv
const nats = await connect({ servers })
const counters = new Map<string, number>()
nats.subscribe("count", {
  callback: (_, message) => {
    const key = message.string()
    const value = (counters.get(key) ?? 0) + 1
    counters.set(key, value)
    message.respond(String(value))
  },
})
await nats.flush()
process.stdout.write("ready\n")
