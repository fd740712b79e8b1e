import { readFileSync } from "node:fs"
import { connect } from "@nats-io/transport-node"
import { afterAll, describe, expect, it, vi } from "vitest"
import {
  findServer,
  LogUnavailable,
  NatsServerMissing,
  openConnection,
  startCluster,
  startServer,
} from "@lockstep/nats"
import { DEVELOPMENT_CONFIG } from "../src/development.ts"

const infra = new URL("../../../infra/nats/", import.meta.url)

describe("the development server", () => {
  it("runs the configuration that infra/nats shows", () => {
    expect(DEVELOPMENT_CONFIG).toBe(readFileSync(new URL("development.conf", infra), "utf8"))
  })

  it("keeps its port and its store over a kill and a restart", async () => {
    await using server = await startServer()
    const { url, pid } = server
    await server.kill("SIGKILL")
    await server.restart()
    expect(server.url).toBe(url)
    expect(server.pid).not.toBe(pid)
    await using connection = await openConnection({ servers: url, name: "test" })
    expect(connection.nats.info?.jetstream).toBe(true)
  })

  it("names the ways to get a nats-server when NATS_SERVER points at something else", () => {
    vi.stubEnv("NATS_SERVER", "/bin/true")
    afterAll(() => void vi.unstubAllEnvs())
    expect(() => findServer()).toThrow(NatsServerMissing)
    expect(() => findServer()).toThrow(/npm run setup:nats/)
    vi.unstubAllEnvs()
  })
})

describe("a connection", () => {
  it("says at once that nobody listens, and where", async () => {
    const refused = openConnection({ servers: "nats://127.0.0.1:1", name: "test" })
    await expect(refused).rejects.toThrow(LogUnavailable)
    await expect(refused).rejects.toThrow(/127\.0\.0\.1:1.*nothing was sent/)
  })

  it("says that no server was named", async () => {
    await expect(openConnection({ servers: [], name: "test" })).rejects.toThrow(
      /no address.*no server was named/,
    )
    await expect(openConnection({ servers: "", name: "test" })).rejects.toThrow(LogUnavailable)
  })

  it("goes to another server when it leaves one, and stays where there is no other", async () => {
    await using cluster = await startCluster({ nodes: 2 })
    await using connection = await openConnection({ servers: cluster.urls, name: "test" })
    for (let times = 0; times < 3; times++) {
      const left = connection.nats.getServer()
      const back = new Promise<void>((resolve) => connection.onReconnect(resolve))
      connection.leave()
      await back
      expect(connection.nats.getServer()).not.toBe(left)
    }
    const [url = ""] = cluster.urls
    await using alone = await openConnection({ servers: [url], name: "test" })
    alone.nats.setServers([alone.nats.getServer()]) // a server tells of its peers
    alone.leave()
    await alone.flush()
  })

  it("goes on when a handler throws, which the process hears of", async () => {
    await using server = await startServer()
    await using connection = await openConnection({ servers: server.url, name: "test" })
    const uncaught = new Promise((resolve) => process.once("uncaughtException", resolve))
    const heard: Array<string> = []
    connection.subscribe("news", (_, bytes) => {
      heard.push(Buffer.from(bytes).toString())
      if (heard.length === 1) throw new Error("a handler's own")
    })
    connection.publish("news", Buffer.from("one"))
    expect(await uncaught).toMatchObject({ message: "a handler's own" })
    connection.publish("news", Buffer.from("two"))
    await expect.poll(() => heard).toEqual(["one", "two"])
  })

  it("comes back after its server was killed, and closes even while the server is dead", async () => {
    await using server = await startServer()
    const connection = await openConnection({ servers: server.url, name: "test" })
    const back = new Promise<void>((resolve) => connection.onReconnect(resolve))
    await server.kill("SIGKILL")
    connection.publish("lost", Buffer.from("never throws"))
    await server.restart()
    await back
    await server.kill("SIGKILL")
    await connection.close()
    expect(connection.nats.isClosed()).toBe(true)
  })
})

describe("the production configuration", () => {
  const passwords = {
    NATS_PASSWORD_R0: "zero",
    NATS_PASSWORD_R1: "one",
    NATS_PASSWORD_R2: "two",
    NATS_PASSWORD_CLIENT: "client",
    NATS_PASSWORD_CONTROLLER: "controller",
  }

  it("lets a replica publish its own votes and nobody else's", async () => {
    const configFile = new URL("production.conf", infra).pathname
    await using cluster = await startCluster({ configFile, env: passwords })
    const [first = ""] = cluster.urls
    const [r0, client] = await Promise.all([
      connect({ servers: first, user: "r0", pass: "zero" }),
      connect({ servers: first, user: "client", pass: "client" }),
    ])
    const heard: Array<string> = []
    client.subscribe("vote.>", { callback: (_, message) => void heard.push(message.subject) })
    await client.flush()
    r0.publish("vote.bank.r1.someone")
    r0.publish("vote.bank.r0.someone")
    r0.publish("cmd.bank.0.someone")
    await r0.flush()
    await expect.poll(() => heard).toEqual(["vote.bank.r0.someone"])
    await Promise.all([r0.close(), client.close()])
  })

  it("lets a replica tell one peer something in its own name, which no other peer and no caller hears", async () => {
    const configFile = new URL("production.conf", infra).pathname
    await using cluster = await startCluster({ configFile, env: passwords })
    const [first = ""] = cluster.urls
    const as = (user: string, pass: string) => connect({ servers: first, user, pass })
    const [r0, r1, r2, client, controller] = await Promise.all([
      as("r0", "zero"),
      as("r1", "one"),
      as("r2", "two"),
      as("client", "client"),
      as("controller", "controller"),
    ])
    const heard: Array<string> = []
    const listen = (who: string, to: typeof r0, subject: string) =>
      to.subscribe(subject, {
        callback: (error, message) => void heard.push(`${who}: ${error?.name ?? message.subject}`),
      })
    listen("r1", r1, "peer.bank.0.*.r1")
    listen("r1", r1, "operator.bank.0")
    listen("controller", controller, "reign.bank.0.*")
    listen("r2", r2, "peer.bank.0.*.r1")
    listen("client", client, "peer.bank.0.*.r1")
    listen("client", client, "reign.bank.0.*")
    await Promise.all([r1.flush(), controller.flush()])
    await expect
      .poll(() => heard.toSorted())
      .toEqual([
        "client: PermissionViolationError",
        "client: PermissionViolationError",
        "r2: PermissionViolationError",
      ])
    heard.length = 0
    r0.publish("peer.bank.0.r2.r1")
    r0.publish("peer.bank.0.r0.r1")
    client.publish("peer.bank.0.r0.r1")
    r0.publish("operator.bank.0")
    client.publish("operator.bank.0")
    r0.publish("reign.bank.0.r1")
    r0.publish("reign.bank.0.r0")
    await Promise.all([r0.flush(), client.flush()])
    controller.publish("operator.bank.0")
    await controller.flush()
    await expect
      .poll(() => heard.toSorted())
      .toEqual(["controller: reign.bank.0.r0", "r1: operator.bank.0", "r1: peer.bank.0.r0.r1"])
    await Promise.all([r0, r1, r2, client, controller].map((connection) => connection.close()))
  })
})
