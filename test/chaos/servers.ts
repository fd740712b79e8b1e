import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type Server, startServer } from "@lockstep/nats"
import type { Network } from "./network.ts"
import { ServerStore } from "./server-store.ts"

/** One server, and where it keeps what it holds. */
export interface StoredServer {
  readonly server: Server
  readonly store: ServerStore
  readonly logFile: string
}

export const SERVERS = 3

/** Starts the servers of the network, for replicas of these names. They live until the stack is disposed. */
export async function startServers(
  network: Network,
  replicas: ReadonlyArray<string>,
  directory: string,
  stack: AsyncDisposableStack,
): Promise<ReadonlyArray<StoredServer>> {
  const configFile = join(directory, "servers.conf")
  await writeFile(configFile, configuration(await readFile(PRODUCTION, "utf8"), replicas))
  const users = [...replicas, "client", "controller"]
  const passwords = users.map((user) => [`NATS_PASSWORD_${user.toUpperCase()}`, as(user).password])
  return Promise.all(
    network.ports.map(async ({ client: port, route }, i) => {
      const routes = network.routes(i).map((url, to) => [`NATS_ROUTE_${to}`, url])
      const env = {
        NATS_NAME: `n${i}`,
        NATS_HOST: "127.0.0.1",
        NATS_CLUSTER_HOST: "127.0.0.1",
        NATS_CLUSTER_PORT: String(route),
        ...Object.fromEntries([...routes, ...passwords]),
      }
      const storeDir = join(directory, `n${i}`)
      const logFile = join(directory, `n${i}.log`)
      const config = `log_file: ${JSON.stringify(logFile)}`
      const server = stack.use(await startServer({ port, storeDir, configFile, env, config }))
      return { server, store: new ServerStore(storeDir), logFile }
    }),
  )
}

/** The production configuration with a user for every replica, in which servers tell nobody where they are. */
function configuration(production: string, replicas: ReadonlyArray<string>): string {
  // What they gossip to each other is an address where nobody listens.
  const quiet = `cluster {\n  no_advertise: true\n  advertise: "127.0.0.1:1"\n`
  const user = /^ +\{ user: r2,(?:.*\n){3}/m.exec(production)?.[0]
  if (user === undefined || production.split("cluster {\n").length !== 2)
    throw new Error("infra/nats/production.conf is not as this test knows it")
  if (!production.includes(MAY_READ))
    throw new Error("infra/nats/production.conf does not let replicas read as this test knows it")
  const more = replicas
    .slice(3)
    .map((name) => user.replaceAll("r2", name).replaceAll("R2", name.toUpperCase()))
  // the controller's right, which the pages give to replicas that truncate
  return production
    .replace("cluster {\n", quiet)
    .replace(user, `${user}${more.join("")}`)
    .replaceAll(MAY_READ, `"$JS.API.STREAM.PURGE.*", ${MAY_READ}`)
}

/** A user of the servers, and the password. */
export function as(user: string): { readonly user: string; readonly password: string } {
  return { user, password: `secret-of-${user}` }
}

const PRODUCTION = new URL("../../infra/nats/production.conf", import.meta.url)
/** What replicas may do there, and callers may not. */
const MAY_READ = '"$JS.API.CONSUMER.CREATE.*.*"'
