import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"

/** A network line to a server, which can be cut: then connections are gone, and nobody gets through until it is mended. */
export class Line implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #isCut = false

  private constructor(target: URL) {
    this.#server = createServer({ noDelay: true }, (near) => {
      const far = connect({ host: target.hostname, port: Number(target.port), noDelay: true })
      this.#join(near, far)
      this.#join(far, near)
      if (this.#isCut) near.destroy()
    })
  }

  static async to(url: string): Promise<Line> {
    const line = new Line(new URL(url))
    await new Promise<void>((resolve) => line.#server.listen(0, "127.0.0.1", resolve))
    return line
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo // it listens on TCP
    return `nats://127.0.0.1:${port}`
  }

  cut(): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  mend(): void {
    this.#isCut = false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from)
    from.pipe(to)
    from.on("error", () => undefined) // it closes, too
    from.on("close", () => {
      this.#sockets.delete(from)
      to.destroy()
    })
  }
}
