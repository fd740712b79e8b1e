import { GroupName, Partition } from "@lockstep/core"
import { streamName } from "@lockstep/nats"
import { ReplicaProcess } from "@lockstep/replica-service/process"
import { connect, createGroup } from "lockstep"
import type { Contender } from "./contender.ts"
import { Voted } from "./counter.ts"

const NAMES = ["r0", "r1", "r2"]

export interface Framework extends Contender {
  /** A function that adds to this key's counter, and resolves with what it is then. */
  adder(key: string): (amount: number) => Promise<number>
}

/** The stream that is its log. */
export const FRAMEWORK_STREAM = streamName(GroupName("main"), Partition(0))

/**
 * The same work through the framework: three replica processes, two equal votes, as in production. Each of the replicas has a
 * server to itself where there are three; the caller is on the last one.
 */
export async function startFramework(
  servers: string | ReadonlyArray<string>,
  copies: 1 | 3,
): Promise<Framework> {
  const urls = [servers].flat()
  await createGroup({
    servers: urls,
    replicas: NAMES,
    log: { copies, maxBytes: 4 * 1024 ** 3, maxEntryBytes: 1024 ** 2 },
    accept: ["single-copy-log", "sync-interval"],
  })
  const replicas = NAMES.map(
    (replica, i) =>
      new ReplicaProcess(
        {
          servers: urls[i % urls.length] ?? "",
          replica,
          module: new URL("counter.ts", import.meta.url).pathname,
          determinism: "guarded",
        },
        { NODE_OPTIONS: `--import ${new URL("../../infra/scripts/ts-hooks.mjs", import.meta.url).href}` },
      ),
  )
  await Promise.all(replicas.map((replica) => replica.start()))
  const client = await connect({ servers: urls.at(-1) ?? "" })
  const adder: Framework["adder"] = (key) => {
    const counter = client.actor(Voted, key)
    return (amount) => counter.add(amount)
  }
  return {
    name: "lockstep: voted, f = 1",
    adder,
    counter(key) {
      const add = adder(key)
      return () => add(1)
    },
    async [Symbol.asyncDispose]() {
      await client.close()
      await Promise.all(replicas.map((replica) => replica.kill()))
    },
  }
}
