import { connect } from "@nats-io/transport-node"

/**
 * One of the floor's three replicas: what somebody would write by hand who wants nothing but speed. It follows the stream,
 * keeps one number per key, and replies to the inbox that each message names. No check of any kind.
 */
const [, , servers = "", stream = ""] = process.argv
const nats = await connect({ servers })
const counters = new Map<string, number>()
const inbox = `floor.${process.pid}`

nats.subscribe(inbox, {
  callback: (_, message) => {
    if (message.headers?.code === 100) {
      if (message.reply !== undefined && message.reply !== "") nats.publish(message.reply)
      return
    }
    const bytes = Buffer.from(message.data.buffer, message.data.byteOffset, message.data.byteLength)
    const count = bytes.readUInt32LE(0)
    const number = bytes.readUInt32LE(4)
    const replyTo = bytes.toString("latin1", 9, 9 + bytes.readUInt8(8))
    const answers = Buffer.allocUnsafe(4 + count * 4)
    answers.writeUInt32LE(number, 0)
    let at = 9 + replyTo.length
    for (let i = 0; i < count; i++) {
      const length = bytes.readUInt8(at)
      const key = bytes.toString("latin1", at + 1, at + 1 + length)
      const value = (counters.get(key) ?? 0) + bytes.readUInt32LE(at + 1 + length)
      counters.set(key, value)
      answers.writeUInt32LE(value, 4 + i * 4)
      at += 5 + length
    }
    nats.publish(replyTo, answers)
  },
})
await nats.request(
  `$JS.API.CONSUMER.CREATE.${stream}.f${process.pid}`,
  JSON.stringify({
    stream_name: stream,
    config: {
      name: `f${process.pid}`,
      deliver_subject: inbox,
      deliver_policy: "all",
      ack_policy: "none",
      flow_control: true,
      idle_heartbeat: 500e6,
      max_deliver: 1,
      mem_storage: true,
      num_replicas: 1,
    },
  }),
)
process.stdout.write("ready\n")
process.once("SIGTERM", () => void nats.drain())
