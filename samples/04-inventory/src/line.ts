import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"

/** A network line to a server. When it is cut, what is on its way is lost, and nobody gets through until it is mended. */
export class Line implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #isCut = false

  private constructor(target: URL) {
    this.#server = createServer({ noDelay: true }, (near) => {
      if (this.#isCut) return near.destroy()
      const far = connect({ host: target.hostname, port: Number(target.port), noDelay: true })
      near.pipe(far).pipe(near)
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket)
        socket.on("error", () => undefined) // it closes, too
        socket.on("close", () => {
          this.#sockets.delete(socket)
          other.destroy()
        })
      }
      return undefined
    })
  }

  static async to(url: string): Promise<Line> {
    const line = new Line(new URL(url))
    await new Promise<void>((resolve) => line.#server.listen(0, "127.0.0.1", resolve))
    return line
  }

  get url(): string {
    const { port } = line(this.#server)
    return `nats://127.0.0.1:${port}`
  }

  cut(): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  mend(): void {
    this.#isCut = false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

function line(server: Server): AddressInfo {
  return server.address() as AddressInfo // it listens on TCP
}
