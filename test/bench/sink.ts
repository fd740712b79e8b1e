import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

/** Takes what is exported, and throws it away; in a process of its own, so that what it costs is not the caller's. */
const http = createServer((request, response) => {
  request.resume().on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"))
})
http.listen(0, "127.0.0.1", () => {
  const { port } = http.address() as AddressInfo // it listens on TCP
  process.stdout.write(`http://127.0.0.1:${port}\n`)
})
