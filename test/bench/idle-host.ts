import { setTimeout as sleep } from "node:timers/promises"
import { host } from "lockstep"
import { actors } from "./solo.ts"

/**
 * One replica in a process of its own, with a folder or without: the replica program does not say how many actors are in memory.
 * Started with --expose-gc; answers each message with what its process holds.
 */
const [, , servers = "", dataDir = "", actorBytesMax = ""] = process.argv
const replica = await host({
  servers,
  replica: "r0",
  actors,
  determinism: "guarded",
  ...(dataDir !== "" && { dataDir }),
  ...(actorBytesMax !== "" && { actorBytesMax: Number(actorBytesMax) }),
  onEvent: ({ event, ...rest }) => {
    if (["halted", "failed", "checkpoint-failed"].includes(event))
      process.stderr.write(`${event} ${JSON.stringify(rest)}\n`)
  },
})

/** What the process holds. */
export interface Held {
  readonly applied: number
  readonly durable: number
  readonly actors: number
  readonly resident: number
  readonly rssBytes: number
  readonly heapBytes: number
  readonly externalBytes: number
}

async function held(options: { readonly collected: boolean }): Promise<Held> {
  // what a first collection lets go of is given back to the system by and by
  for (let i = 0; options.collected && i < 3; i++) {
    globalThis.gc?.()
    await sleep(50)
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  const [status] = replica.status
  if (status === undefined) throw new Error("the group has no partition")
  const { applied, durable, actors: size, resident } = status
  return {
    applied,
    durable,
    actors: size,
    resident,
    rssBytes: rss,
    heapBytes: heapUsed,
    externalBytes: external,
  }
}

process.on("message", (options: { readonly collected: boolean }) => {
  void held(options).then((answer) => process.send?.(answer))
})
process.on("disconnect", () => process.exit(0))
process.send?.("ready")
