import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import type { ResourceSpans } from "./otlp.ts"

/** Receives OTLP/HTTP with JSON on a port of the loopback interface, and keeps what it got. */
export class Receiver {
  readonly #received: Array<ResourceSpans> = []
  readonly #server = createServer((request, response) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("end", () => {
      const isUnderstood = request.url === "/v1/traces" && this.#take(Buffer.concat(parts).toString())
      response.writeHead(isUnderstood ? 200 : 400, { "content-type": "application/json" }).end("{}")
    })
  })

  static async start(): Promise<Receiver> {
    const receiver = new Receiver()
    await new Promise<void>((resolve, reject) => {
      receiver.#server.once("error", reject)
      receiver.#server.listen(0, "127.0.0.1", resolve)
    })
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` // it listens on TCP
  }

  /** All that came, as one document: an entry for each process. */
  get document(): { readonly resourceSpans: ReadonlyArray<ResourceSpans> } {
    const processes = Map.groupBy(this.#received, ({ resource }) => JSON.stringify(resource))
    return {
      resourceSpans: [...processes.values()].map((parts) => ({
        resource: parts[0]?.resource ?? { attributes: [] },
        scopeSpans: [
          ...Map.groupBy(
            parts.flatMap(({ scopeSpans }) => scopeSpans),
            ({ scope }) => JSON.stringify(scope),
          ).values(),
        ].map((scopes) => ({ scope: scopes[0]?.scope, spans: scopes.flatMap(({ spans }) => spans) })),
      })),
    }
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #take(text: string): boolean {
    try {
      const { resourceSpans } = JSON.parse(text) as { readonly resourceSpans: ReadonlyArray<ResourceSpans> } // that is OTLP
      this.#received.push(...resourceSpans)
      return true
    } catch {
      return false // somebody else's request
    }
  }
}
