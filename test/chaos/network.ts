import { freePorts } from "@lockstep/nats"
import type { Random } from "@lockstep/testing"
import { type Direction, OPEN, type Passage, TcpProxy } from "./proxy.ts"

/** Whose lines: all of a node's, or of a server only those to other servers, or only those to everybody else. */
export type Scope = "all" | "servers" | "others"

/** The lines of a node: what it sends, what it hears. */
interface Line {
  readonly proxy: TcpProxy
  /** The direction in which the node itself sends. */
  readonly out: Direction
}

/**
 * A line from every server, replica and client to every server. Nobody knows the servers' own addresses, so that nothing
 * goes past the lines.
 */
export class Network implements AsyncDisposable {
  /** Where the servers listen: for clients, and for each other. */
  readonly ports: ReadonlyArray<{ readonly client: number; readonly route: number }>
  readonly #parties = new Map<string, ReadonlyArray<TcpProxy>>()
  readonly #routes: ReadonlyArray<ReadonlyArray<TcpProxy | undefined>>

  private constructor(
    ports: Network["ports"],
    parties: ReadonlyArray<readonly [string, ReadonlyArray<TcpProxy>]>,
    routes: ReadonlyArray<ReadonlyArray<TcpProxy | undefined>>,
  ) {
    this.ports = ports
    this.#parties = new Map(parties)
    this.#routes = routes
  }

  /** For this many servers, and for replicas and clients of these names. */
  static async open(servers: number, parties: ReadonlyArray<string>, random: Random): Promise<Network> {
    const free = await freePorts(2 * servers)
    const ports = Array.from({ length: servers }, (_, i) => ({
      client: free[2 * i] ?? 0,
      route: free[2 * i + 1] ?? 0,
    }))
    const lines = await Promise.all(
      parties.map(
        async (party) =>
          [party, await Promise.all(ports.map(({ client }) => TcpProxy.listen(client, random)))] as const,
      ),
    )
    const routes = await Promise.all(
      ports.map((_, from) =>
        Promise.all(
          ports.map(async ({ route }, to) => (from === to ? undefined : TcpProxy.listen(route, random))),
        ),
      ),
    )
    return new Network(ports, lines, routes)
  }

  /** Where a replica or client of this name finds the servers. */
  urls(party: string): ReadonlyArray<string> {
    const proxies = this.#parties.get(party)
    if (proxies === undefined) throw new Error(`there are no lines for ${party}`)
    return proxies.map(({ port }) => `nats://127.0.0.1:${port}`)
  }

  /** To which server a replica or client of this name has a connection now. */
  serverOf(party: string): number | undefined {
    const server = this.#parties.get(party)?.findIndex(({ connections }) => connections > 0) ?? -1
    return server < 0 ? undefined : server
  }

  /** Where this server finds each server; itself at its own address. */
  routes(server: number): ReadonlyArray<string> {
    const proxies = this.#routes[server] ?? []
    return proxies.map((proxy, to) => `nats://127.0.0.1:${proxy?.port ?? this.ports[to]?.route}`)
  }

  /** How many connections two servers have over our lines. */
  connectionsBetween(a: number, b: number): number {
    return (this.#routes[a]?.[b]?.connections ?? 0) + (this.#routes[b]?.[a]?.connections ?? 0)
  }

  /** What the node sends, what it hears, or both, passes like this from now on. */
  set(node: string | number, scope: Scope, ways: "out" | "in" | "both", passage: Passage): void {
    for (const { proxy, out } of this.#linesOf(node, scope)) {
      const into = out === "forth" ? "back" : "forth"
      if (ways !== "in") proxy.set(out, passage)
      if (ways !== "out") proxy.set(into, passage)
    }
  }

  heal(node: string | number): void {
    this.set(node, "all", "both", OPEN)
  }

  reset(node: string | number, scope: Scope): void {
    for (const { proxy } of this.#linesOf(node, scope)) proxy.reset()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#parties.values(), ...this.#routes].flat()
    await Promise.all(all.map(async (proxy) => proxy?.[Symbol.asyncDispose]()))
  }

  #linesOf(node: string | number, scope: Scope): ReadonlyArray<Line> {
    if (typeof node === "string")
      return (this.#parties.get(node) ?? []).map((proxy) => ({ proxy, out: "forth" }))
    const others = [...this.#parties.values()].map((proxies) => ({ proxy: proxies[node], out: "back" }))
    const servers = [
      ...(this.#routes[node] ?? []).map((proxy) => ({ proxy, out: "forth" })),
      ...this.#routes.map((proxies) => ({ proxy: proxies[node], out: "back" })),
    ]
    const lines = [...(scope === "servers" ? [] : others), ...(scope === "others" ? [] : servers)]
    return lines.filter((line): line is Line => line.proxy !== undefined)
  }
}
