import { createServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2"
import type { AddressInfo } from "node:net"
import { pathToFileURL } from "node:url"

/** What of the SDK is used here. It comes with the server, not with the workspace's packages. */
interface Sdk {
  object(definition: { readonly name: string; readonly handlers: Readonly<Record<string, Handler>> }): object
  createEndpointHandler(options: {
    readonly services: ReadonlyArray<object>
  }): (request: Http2ServerRequest, response: Http2ServerResponse) => void
}

type Handler = (context: Context, amount: number) => Promise<number>

interface Context {
  get(name: string): Promise<number | null>
  set(name: string, value: number): void
}

/** The service of the virtual objects: one number per key. */
const [, , sdk = ""] = process.argv
process.env["RESTATE_LOGGING"] ??= "ERROR" // it warns of requests without a signature
const restate = (await import(pathToFileURL(sdk).href)) as Sdk // as its documentation has it
const counter = restate.object({
  name: "Counter",
  handlers: {
    async add(context, amount) {
      const value = ((await context.get("value")) ?? 0) + amount
      context.set("value", value)
      return value
    },
  },
})
const server = createServer(restate.createEndpointHandler({ services: [counter] }))
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
const { port } = server.address() as AddressInfo // it listens on TCP
process.stdout.write(`${port}\n`)
