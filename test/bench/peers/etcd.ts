import { join } from "node:path"
import { Etcd3, type IKeyValue } from "etcd3"
import type { Peer } from "../contender.ts"
import { combined } from "./gathering.ts"
import { freePorts } from "@lockstep/nats"
import { findProgram, startProgram, versionOf } from "./program.ts"

const NODES = 3

/** Three nodes on loopback. The client is etcd3, by gRPC: with many calls in flight, the JSON gateway had half its throughput. */
class Cluster implements AsyncDisposable {
  readonly client: Etcd3
  readonly version: string
  readonly #stack: AsyncDisposableStack

  private constructor(client: Etcd3, version: string, stack: AsyncDisposableStack) {
    this.client = client
    this.version = version
    this.#stack = stack
  }

  static async start(folder: string): Promise<Cluster> {
    const command = findProgram("etcd")
    const stack = new AsyncDisposableStack()
    try {
      const urls = (await freePorts(2 * NODES)).map((port) => `http://127.0.0.1:${port}`)
      const nodes = Array.from({ length: NODES }, (_, i) => ({
        name: `n${i}`,
        clients: urls[2 * i] ?? "",
        peers: urls[2 * i + 1] ?? "",
      }))
      const cluster = nodes.map(({ name, peers }) => `${name}=${peers}`).join(",")
      const start = nodes.map(async ({ name, clients, peers }) => {
        const settings = {
          name,
          "data-dir": join(folder, `etcd-${name}`),
          "listen-client-urls": clients,
          "advertise-client-urls": clients,
          "listen-peer-urls": peers,
          "initial-advertise-peer-urls": peers,
          "initial-cluster": cluster,
          "log-level": "error",
        }
        const args = Object.entries(settings).map(([flag, value]) => `--${flag}=${value}`)
        stack.use(await startProgram({ command, args, ready: () => isHealthy(clients) }))
      })
      for (const outcome of await Promise.allSettled(start))
        if (outcome.status === "rejected") throw outcome.reason
      const client = new Etcd3({ hosts: nodes.map(({ clients }) => clients) })
      stack.defer(() => client.close())
      return new Cluster(client, versionOf(command, /etcd Version: (\S+)/), stack)
    } catch (cause) {
      await stack.disposeAsync()
      throw cause
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync()
  }
}

/** Two ways to count with one cluster. */
export async function startEtcd(folder: string): Promise<ReadonlyArray<Peer>> {
  const cluster = await Cluster.start(folder)
  const end = (): Promise<void> => cluster[Symbol.asyncDispose]()
  return [
    {
      name: "etcd: compare and put",
      terms: { ...termsOf(cluster, "a read and a transaction for each call"), takesTurns: true },
      counter: (each) => async () => {
        const key = `each/${each}`
        const { value } = await add(cluster.client, key, 1, await read(cluster.client, key))
        return value
      },
      [Symbol.asyncDispose]: end,
    },
    {
      name: "etcd: the client combines adds",
      terms: {
        ...termsOf(cluster, "a transaction for all calls that came for a key meanwhile"),
        combines: true,
      },
      counter: (key) => combined(adderOf(cluster.client, `combined/${key}`)),
      [Symbol.asyncDispose]: end,
    },
  ]
}

/** What it put last need not be read again. */
function adderOf(client: Etcd3, key: string): (amount: number) => Promise<number> {
  let last: Entry | undefined
  return async (amount) => {
    last = await add(client, key, amount, last ?? (await read(client, key)))
    return last.value
  }
}

/** A key's value, and the revision at which it was written: 0 if never. */
interface Entry {
  readonly value: number
  readonly revision: string | number
}

async function read(client: Etcd3, key: string): Promise<Entry> {
  return entryOf((await client.get(key).exec()).kvs)
}

/** Writes if nobody has written since it was read; else it is read in the same transaction, and tried once more. */
async function add(client: Etcd3, key: string, amount: number, before: Entry): Promise<Entry> {
  for (let entry = before; ;) {
    const value = entry.value + amount
    const answer = await client
      .if(key, "Mod", "==", entry.revision)
      .then(client.put(key).value(String(value)))
      .else(client.get(key))
      .commit()
    if (answer.succeeded) return { value, revision: answer.header.revision }
    entry = entryOf(answer.responses[0]?.response_range?.kvs ?? [])
  }
}

function entryOf([found]: ReadonlyArray<IKeyValue>): Entry {
  return found === undefined
    ? { value: 0, revision: 0 }
    : { value: Number(found.value), revision: found.mod_revision }
}

function termsOf({ version }: Cluster, calls: string): Peer["terms"] {
  return {
    synced: "each write",
    copies: 2,
    executed: 1,
    about: `${version}, three nodes; gRPC by etcd3, ${calls}`,
  }
}

async function isHealthy(url: string): Promise<boolean> {
  const response = await fetch(`${url}/health`)
  await response.body?.cancel()
  return response.ok
}
