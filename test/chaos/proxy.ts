import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import type { Random } from "@lockstep/testing"

/** What becomes of the bytes that pass in one direction. */
export interface Passage {
  /** Nothing passes. It waits, as on a cut line, until the line is whole again or the connection is given up. */
  readonly silent: boolean
  /** Milliseconds that everything takes longer. */
  readonly delayMs: number
  /** The share of pieces that is lost on the way: over TCP they, and all behind them, come a retransmission later. */
  readonly loss: number
}

/** Towards the target of the proxy, or back to those who connected. */
export type Direction = "forth" | "back"

export const OPEN: Passage = { silent: false, delayMs: 0, loss: 0 }

const RETRANSMISSION_MS = 200
const HELD_BYTES_MAX = 1024 ** 2

/** A TCP line on loopback to one port, which can be cut, slowed and torn. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #targetPort: number
  readonly #random: Random
  readonly #passages: Record<Direction, Passage> = { forth: OPEN, back: OPEN }
  readonly #lines = new Set<Line>()
  /** Who connected while the line was cut: the target does not hear of them before it is whole. */
  readonly #held = new Set<Socket>()

  private constructor(server: Server, targetPort: number, random: Random) {
    this.#server = server
    this.#targetPort = targetPort
    this.#random = random
    server.on("connection", (near) => this.#accept(near))
  }

  static async listen(targetPort: number, random: Random): Promise<TcpProxy> {
    const server = createServer({ noDelay: true })
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject)
      server.listen(0, "127.0.0.1", resolve)
    })
    return new TcpProxy(server, targetPort, random)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port // it listens on TCP
  }

  get connections(): number {
    return this.#lines.size
  }

  /** Applies to connections that are open, and to those to come. */
  set(direction: Direction, passage: Passage): void {
    this.#passages[direction] = passage
    for (const line of this.#lines) line.flush()
    if (this.#isCut) return
    for (const near of this.#held) if (!near.destroyed) this.#dial(near)
    this.#held.clear()
  }

  /** Tears every connection: both ends read a reset. */
  reset(): void {
    for (const line of this.#lines) line.reset()
    for (const near of this.#held) near.resetAndDestroy()
    this.#held.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.reset()
    await closed
  }

  get #isCut(): boolean {
    return this.#passages.forth.silent || this.#passages.back.silent
  }

  #accept(near: Socket): void {
    near.on("error", ignore)
    if (this.#isCut) this.#held.add(near)
    else this.#dial(near)
  }

  #dial(near: Socket): void {
    const far = connect({ port: this.#targetPort, host: "127.0.0.1", noDelay: true })
    far.on("error", ignore)
    const line = new Line(near, far, this.#passages, this.#random)
    this.#lines.add(line)
    const leave = (): void => void (near.destroyed && far.destroyed && this.#lines.delete(line))
    near.once("close", leave)
    far.once("close", leave)
  }
}

/** One connection through the proxy. */
class Line {
  readonly #near: Socket
  readonly #far: Socket
  readonly #forth: Course
  readonly #back: Course

  constructor(near: Socket, far: Socket, passages: Readonly<Record<Direction, Passage>>, random: Random) {
    this.#near = near
    this.#far = far
    this.#forth = new Course(near, far, () => passages.forth, random)
    this.#back = new Course(far, near, () => passages.back, random)
  }

  flush(): void {
    this.#forth.flush()
    this.#back.flush()
  }

  reset(): void {
    this.#near.resetAndDestroy()
    this.#far.resetAndDestroy()
  }
}

/** One direction of one connection. The end of a connection travels like its bytes: behind a cut nobody hears of it. */
class Course {
  readonly #from: Socket
  readonly #to: Socket
  readonly #passage: () => Passage
  readonly #random: Random
  readonly #queue: Array<{ readonly piece: Buffer | undefined; readonly dueMs: number }> = []
  #heldBytes = 0
  #lastDueMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(from: Socket, to: Socket, passage: () => Passage, random: Random) {
    this.#from = from
    this.#to = to
    this.#passage = passage
    this.#random = random
    from.on("data", (piece: Buffer) => this.#receive(piece))
    from.once("close", () => this.#receive(undefined))
    to.on("drain", () => this.flush())
    to.once("close", () => {
      clearTimeout(this.#timer)
      this.#queue.length = 0
      from.resume()
    })
  }

  /** Sends on what is due. */
  flush(): void {
    const passage = this.#passage()
    for (let next = this.#queue[0]; next !== undefined && !passage.silent; next = this.#queue[0]) {
      const waitMs = next.dueMs - performance.now()
      if (waitMs > 0) {
        this.#timer ??= setTimeout(() => {
          this.#timer = undefined
          this.flush()
        }, waitMs)
        break
      }
      this.#queue.shift()
      if (next.piece === undefined) this.#to.destroySoon()
      else {
        this.#heldBytes -= next.piece.length
        if (!this.#to.destroyed) this.#to.write(next.piece)
      }
    }
    if (this.#heldBytes + this.#to.writableLength > HELD_BYTES_MAX && !this.#to.destroyed) this.#from.pause()
    else if (this.#from.isPaused()) this.#from.resume()
  }

  #receive(piece: Buffer | undefined): void {
    if (this.#to.destroyed) return
    const { delayMs, loss } = this.#passage()
    const onTheWayMs = delayMs + (this.#random.chance(loss) ? RETRANSMISSION_MS : 0)
    this.#lastDueMs = Math.max(this.#lastDueMs, performance.now() + onTheWayMs)
    this.#queue.push({ piece, dueMs: this.#lastDueMs })
    this.#heldBytes += piece?.length ?? 0
    this.flush()
  }
}

/** A connection that fails also closes, and that is what counts. */
function ignore(): void {}
