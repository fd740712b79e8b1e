import type { ActorClass } from "@lockstep/actor"
import { type Server, startServer } from "@lockstep/nats"
import { define } from "@lockstep/actor"
import { type Host, host, type HostEvent } from "./host.ts"

/** How large the group is, and who is told of what its replicas do. */
export interface DevelopOptions {
  /** Default: as many as the modes of the classes need. */
  readonly replicas?: number
  /** Default: 1. */
  readonly partitions?: number
  readonly onEvent?: (event: HostEvent & { readonly replica: string }) => void
}

/** A whole group on this machine, in this process: for a first try and for a user's own tests. Nothing is kept. */
export interface Development extends AsyncDisposable {
  /** Where to connect. */
  readonly servers: string
  readonly server: Server
  readonly hosts: ReadonlyArray<Host>
  close(): Promise<void>
}

/** Starts a nats-server with a temporary store, and the replicas of a group `"main"` that hosts these classes. */
export async function develop(
  actors: ReadonlyArray<ActorClass>,
  options: DevelopOptions = {},
): Promise<Development> {
  const count = options.replicas ?? Math.max(1, ...actors.map((actor) => define(actor).mode.replicas))
  const names = Array.from({ length: count }, (_, i) => `r${i}`)
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startServer())
  const hosts: Array<Host> = []
  for (const replica of names) {
    const running = await host({
      servers: server.url,
      actors,
      replica,
      environment: "development",
      create: { replicas: names, partitions: options.partitions ?? 1 },
      onEvent: (event) => options.onEvent?.({ ...event, replica }),
    })
    hosts.push(stack.use(running))
  }
  const owned = stack.move()
  const close = (): Promise<void> => owned.disposeAsync()
  return { servers: server.url, server, hosts, close, [Symbol.asyncDispose]: close }
}
