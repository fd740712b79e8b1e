import type { ReplicaProcess } from "@lockstep/replica-service/process"
import { connect, createGroup, UnsafeSetting } from "lockstep"
import { type Cluster, openConnection, startCluster } from "@lockstep/nats"
import { jetstreamManager } from "@nats-io/jetstream"
import { connect as connectNats } from "@nats-io/transport-node"
import { describe, expect, it } from "vitest"
import { expectEqual, ledgerReplica, Load } from "./group.ts"

const configFile = new URL("../../infra/nats/production.conf", import.meta.url).pathname
const NAMES = ["r0", "r1", "r2"]
const USERS = [...NAMES, "client", "controller"]
const env = Object.fromEntries(
  USERS.map((user) => [`NATS_PASSWORD_${user.toUpperCase()}`, `secret-of-${user}`]),
)
const log = { copies: 3, maxBytes: 64 * 1024 ** 2, maxEntryBytes: 1024 ** 2 } as const

describe("the production configuration on three nodes", () => {
  it("serves callers while the log's leader is killed with SIGKILL, and after it is back", async () => {
    await using cluster = await startCluster({ configFile, env })
    await createGroup({ ...as("controller", cluster), replicas: NAMES, log })
    const replicas = NAMES.map((replica) => productionReplica(replica, cluster))
    await using stack = new AsyncDisposableStack()
    for (const replica of replicas) stack.use(replica)
    await Promise.all(replicas.map((replica) => replica.start()))
    await using client = await connect({ ...as("client", cluster), limits: { deadlineMs: 30_000 } })
    const load = new Load(client, 4)
    await load.progress(100)
    const leader = await leaderOf(cluster)
    await leader.kill("SIGKILL")
    await load.progress(100)
    await leader.restart()
    await load.progress(100)
    await load.stopAndCheck()
    await expectEqual(replicas)
  })

  it("lets callers ask replicas to tell of calls that they disagree on, and each replica answer where it votes", async () => {
    await using cluster = await startCluster({ configFile, env })
    const open = (user: string) => openConnection({ ...as(user, cluster), name: user })
    await using client = await open("client")
    await using r0 = await open("r0")
    const heard: Array<string> = []
    r0.subscribe("dissent.main.0", (_, bytes) => {
      r0.publish("vote.main.r1.c", Buffer.from(`no vote of mine: ${Buffer.from(bytes).toString()}`))
      r0.publish("vote.main.r0.c", Buffer.from(`told: ${Buffer.from(bytes).toString()}`))
    })
    client.subscribe("vote.main.*.c", (subject, bytes) =>
      heard.push(`${subject} ${Buffer.from(bytes).toString()}`),
    )
    await Promise.all([r0.flush(), client.flush()])
    r0.publish("dissent.main.0", Buffer.from("by a replica"))
    client.publish("dissent.main.0", Buffer.from("by a caller"))
    await expect.poll(() => heard, { timeout: 10_000 }).toEqual(["vote.main.r0.c told: by a caller"])
  })

  it("refuses a group in production whose log is on one server only", async () => {
    await using cluster = await startCluster({ configFile, env })
    const unsafe = createGroup({ ...as("controller", cluster), replicas: NAMES, log: { ...log, copies: 1 } })
    await expect(unsafe).rejects.toThrow(UnsafeSetting)
  })
})

function as(user: string, cluster: Cluster) {
  return { servers: cluster.urls, user, password: `secret-of-${user}` }
}

function productionReplica(replica: string, cluster: Cluster): ReplicaProcess {
  const { servers, ...credentials } = as(replica, cluster)
  return ledgerReplica(
    { ...credentials, servers: servers.join(","), replica, createReplicas: "" },
    { NODE_ENV: "production" },
  )
}

async function leaderOf(cluster: Cluster): Promise<Cluster["servers"][number]> {
  const { servers, user, password } = as("controller", cluster)
  const nats = await connectNats({ servers: [...servers], user, pass: password })
  const { streams } = await jetstreamManager(nats)
  const name = (await streams.info("LOG_main_0")).cluster?.leader
  await nats.close()
  const leader = cluster.servers[Number(name?.slice(1))]
  if (leader === undefined) throw new Error(`${name} is not one of our servers`)
  return leader
}
