import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { Random } from "@lockstep/testing"
import { describe, expect, it } from "vitest"
import { OPEN, TcpProxy } from "./proxy.ts"

/** A server that says back what it hears, behind a proxy. */
async function fixture() {
  const ends = new Set<Socket>()
  const server = createServer((socket) => {
    ends.add(socket)
    socket.on("error", () => undefined)
    socket.pipe(socket)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo // it listens on TCP
  const proxy = await TcpProxy.listen(port, new Random(1))
  return {
    proxy,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      for (const end of ends) end.destroy()
      server.close()
    },
  }
}

async function dial(proxy: TcpProxy) {
  const socket = connect(proxy.port, "127.0.0.1")
  let heard = ""
  socket.on("data", (bytes: Buffer) => (heard += bytes.toString()))
  const closed = new Promise<string>((resolve) => {
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""))
    socket.on("close", () => resolve("closed"))
  })
  await once(socket, "connect")
  return { socket, closed, heard: () => heard }
}

describe("a TCP line", () => {
  it("passes on everything in order, also where it is slow and loses pieces", async () => {
    await using here = await fixture()
    for (const direction of ["forth", "back"] as const)
      here.proxy.set(direction, { silent: false, delayMs: 2, loss: 0.1 })
    const line = await dial(here.proxy)
    const said = Array.from({ length: 20 }, (_, i) => `${i},`)
    for (const text of said) {
      line.socket.write(text)
      await sleep(1)
    }
    await expect.poll(line.heard, { timeout: 20_000 }).toBe(said.join(""))
    line.socket.destroy()
  })

  it("holds what is said while it is cut, and delivers it when it is whole again", async () => {
    await using here = await fixture()
    const line = await dial(here.proxy)
    line.socket.write("a")
    await expect.poll(line.heard).toBe("a")
    here.proxy.set("back", { ...OPEN, silent: true })
    line.socket.write("b")
    await sleep(50)
    expect(line.heard()).toBe("a")
    here.proxy.set("back", OPEN)
    await expect.poll(line.heard).toBe("ab")
    line.socket.destroy()
  })

  it("lets whoever connects while it is cut wait", async () => {
    await using here = await fixture()
    here.proxy.set("forth", { ...OPEN, silent: true })
    const line = await dial(here.proxy)
    line.socket.write("a")
    await sleep(50)
    expect(here.proxy.connections).toBe(0)
    here.proxy.set("forth", OPEN)
    await expect.poll(line.heard).toBe("a")
    line.socket.destroy()
  })

  it("is torn with a reset", async () => {
    await using here = await fixture()
    const line = await dial(here.proxy)
    line.socket.write("a")
    await expect.poll(line.heard).toBe("a")
    here.proxy.reset()
    expect(await line.closed).toBe("ECONNRESET")
    await expect.poll(() => here.proxy.connections).toBe(0)
  })
})
