import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { gunzipSync } from "node:zlib"
import {
  attributesOf,
  readRequest,
  type ReceivedMetric,
  type ReceivedRecord,
  type ReceivedSpan,
  type Signals,
} from "./otlp.ts"

/** Receives OTLP/HTTP, as protobuf and as JSON, on a port of its own, and keeps what it got: by the instance of the service that sent it. */
export class Receiver implements AsyncDisposable {
  readonly spans: Array<{ readonly instance: string; readonly span: ReceivedSpan }> = []
  /** Names of metrics. */
  readonly metrics = new Map<string, Set<string>>()
  /** Each metric as often as it came. */
  readonly measured: Array<{ readonly instance: string; readonly metric: ReceivedMetric }> = []
  readonly records: Array<{ readonly instance: string; readonly record: ReceivedRecord }> = []
  /** How requests were written, and what was wrong with those that could not be read. */
  readonly contentTypes = new Set<string>()
  readonly refused: Array<unknown> = []
  readonly #server = createServer((request, response) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("end", () => {
      const contentType = request.headers["content-type"] ?? ""
      const isGzip = request.headers["content-encoding"] === "gzip"
      try {
        const sent = Buffer.concat(parts)
        this.#take(request.url ?? "", { contentType, bytes: isGzip ? gunzipSync(sent) : sent })
      } catch (error) {
        this.refused.push(error)
        response.writeHead(400).end()
        return
      }
      // an answer that says nothing is no bytes in protobuf
      const isJson = contentType === "application/json"
      response.writeHead(200, { "content-type": contentType }).end(isJson ? "{}" : "")
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

  #take(url: string, request: { readonly contentType: string; readonly bytes: Uint8Array }): void {
    this.contentTypes.add(request.contentType)
    switch (url) {
      case "/v1/traces":
        this.spans.push(...saidIn("traces", request).map(({ instance, item: span }) => ({ instance, span })))
        return
      case "/v1/metrics":
        for (const { instance, item: metric } of saidIn("metrics", request)) {
          this.measured.push({ instance, metric })
          this.metrics.set(instance, (this.metrics.get(instance) ?? new Set()).add(metric.name))
        }
        return
      case "/v1/logs":
        this.records.push(
          ...saidIn("logs", request).map(({ instance, item: record }) => ({ instance, record })),
        )
        return
      default: // nothing of OTLP's
        throw new Error(`${url} is none of OTLP's paths`)
    }
  }
}

function saidIn<Signal extends keyof Signals>(
  signal: Signal,
  request: { readonly contentType: string; readonly bytes: Uint8Array },
): ReadonlyArray<{ readonly instance: string; readonly item: Signals[Signal] }> {
  return readRequest(signal, request).flatMap(({ resource, items }) => {
    const instance = String(attributesOf(resource)["service.instance.id"])
    return items.map((item) => ({ instance, item }))
  })
}
