import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

/** A span as OTLP/JSON has it. */
export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly attributes: ReadonlyArray<{
    readonly key: string
    readonly value: Readonly<Record<string, unknown>>
  }>
}

/** Spans of one service. */
interface ResourceSpans {
  readonly resource: Pick<ReceivedSpan, "attributes">
  readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<ReceivedSpan> }>
}

/** Receives OTLP/HTTP with JSON, on a port of its own, and keeps what it got. */
export class Receiver implements AsyncDisposable {
  /** By the instance of the service that sent them. */
  readonly spans: Array<{ readonly instance: string; readonly span: ReceivedSpan }> = []
  readonly #server = createServer((request, response) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("end", () => {
      if (request.url === "/v1/traces") this.#take(Buffer.concat(parts).toString())
      response.writeHead(200, { "content-type": "application/json" }).end("{}")
    })
  })

  static async start(): Promise<Receiver> {
    const receiver = new Receiver()
    await new Promise<void>((resolve) => receiver.#server.listen(0, "127.0.0.1", resolve))
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` // it listens on TCP
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #take(text: string): void {
    const { resourceSpans } = JSON.parse(text) as { readonly resourceSpans: ReadonlyArray<ResourceSpans> } // that is OTLP
    for (const { resource, scopeSpans } of resourceSpans) {
      const named = resource.attributes.find(({ key }) => key === "service.instance.id")
      const instance = String(named?.value["stringValue"])
      for (const { spans } of scopeSpans) for (const span of spans) this.spans.push({ instance, span })
    }
  }
}
