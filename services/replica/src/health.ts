import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, type Scope } from "effect"
import type { Host } from "lockstep"

/**
 * Answers over HTTP, until the scope closes: `/live` (200 while it follows the log, 503 after it halted), `/ready` (200
 * once it has caught up), `/status` (positions, counts and chains by partition, and who is the master where there is one). Yields the server's URL.
 */
export function serveHealth(
  replica: Host,
  { host, port }: { readonly host: string; readonly port: number },
): Effect.Effect<string, Error, Scope.Scope> {
  const server = createServer((request, response) => {
    const ok = request.url === "/ready" ? replica.live && replica.caughtUp : replica.live
    const known = ["/live", "/ready", "/status"].includes(request.url ?? "")
    response.writeHead(known ? (ok ? 200 : 503) : 404, { "content-type": "application/json" })
    response.end(JSON.stringify(known ? report(replica) : { error: "ask for /live, /ready or /status" }))
  })
  const listen = Effect.callback<string, Error>((resume) => {
    server.once("error", (error) =>
      resume(
        Effect.fail(new Error(`the health server cannot listen on ${host}, port ${port}: ${error.message}`)),
      ),
    )
    server.listen(port, host, () => {
      const { port: bound } = server.address() as AddressInfo // it listens on TCP
      resume(Effect.succeed(`http://${host}:${bound}`))
    })
  })
  const close = Effect.sync(() => {
    server.closeAllConnections()
    server.close()
  })
  return Effect.acquireRelease(listen, () => close)
}

function report(replica: Host) {
  return {
    replica: replica.replica,
    group: replica.group.group,
    live: replica.live,
    caughtUp: replica.caughtUp,
    partitions: replica.status.map(
      (
        {
          applied,
          chain,
          caughtUp,
          halted,
          actors,
          sessions,
          executed,
          stable,
          durable,
          roster,
          role,
          onProbation,
          schema,
          waits,
          repeated,
          malformed,
          reign,
        },
        partition,
      ) => ({
        partition,
        applied,
        chain,
        caughtUp,
        halted,
        actors,
        sessions,
        executed,
        stable,
        durable,
        epoch: roster.epoch,
        role,
        onProbation,
        schema: schema.number,
        waits,
        repeated,
        malformed,
        // by how much each backup is behind: a Map is nothing in JSON
        reign: reign && { ...reign, lag: Object.fromEntries(reign.lag) },
      }),
    ),
  }
}
