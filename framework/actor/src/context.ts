import { createHash } from "node:crypto"

/** What a command may know of the world: the same on every replica, because all of it comes from the log. */
export interface ActorContext {
  /** Milliseconds since 1970: the log's clock when it ordered the command, and never less than before. */
  readonly now: number
  /** Position of the command's entry in the log; 0 for a command that runs once, which has none. */
  readonly seq: number
  /** The key that addresses this actor. */
  readonly key: string
  /** The id of the client that issued the command. */
  readonly caller: string
  /** The same whenever this command is attempted, and no other has it: by it the outside world can recognise a repetition. */
  readonly id: string
  /** A number from 0 (inclusive) to 1 (exclusive). The same on every replica, so no secret: do not make tokens of it. */
  random(): number
  /** A version 4 UUID. The same on every replica, so no secret. */
  uuid(): string
}

/** Where a command stands: its batch's entry, and its place in the batch. */
export interface Position {
  /** The id of the log: no other has it, whatever its name is. */
  readonly log: string
  readonly seq: number
  readonly index: number
  readonly nowMs: number
  readonly caller: string
  readonly session: number
  /** The command's own, in its session. */
  readonly number: number
}

/**
 * The context of the command that is being executed. One object serves all commands of a replica: nothing is allocated
 * for a command that does not ask. It refuses to answer once its command is over.
 */
export class CommandContext implements ActorContext {
  #position: Position | undefined
  #key = ""
  #stream: RandomStream | undefined

  begin(position: Position, key: string): void {
    this.#position = position
    this.#key = key
    this.#stream = undefined
  }

  end(): void {
    this.#position = undefined
  }

  get now(): number {
    return this.#live().nowMs
  }

  get seq(): number {
    return this.#live().seq
  }

  get caller(): string {
    return this.#live().caller
  }

  get id(): string {
    const { caller, session, number } = this.#live()
    return `${caller}/${session}/${number}`
  }

  get key(): string {
    this.#live()
    return this.#key
  }

  random(): number {
    // 53 random bits: 27 above 26.
    const stream = this.#random()
    return ((stream.next() >>> 5) * 0x4000000 + (stream.next() >>> 6)) / 0x20000000000000
  }

  uuid(): string {
    const stream = this.#random()
    const hex = [0, 1, 2, 3].map(() => stream.next().toString(16).padStart(8, "0")).join("")
    const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16)
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`
  }

  #random(): RandomStream {
    const { log, seq, index } = this.#live()
    return (this.#stream ??= new RandomStream(`${log}/${seq}/${index}`))
  }

  #live(): Position {
    if (this.#position !== undefined) return this.#position
    throw new Error(
      "an actor's context was used after its command had ended: read what you need during the command",
    )
  }
}

/** sfc32 (Doty-Humphrey, PractRand), seeded by SHA-256 of a text. */
class RandomStream {
  #a: number
  #b: number
  #c: number
  #counter: number

  constructor(seed: string) {
    const bytes = createHash("sha256").update(seed).digest()
    this.#a = bytes.readInt32LE(0)
    this.#b = bytes.readInt32LE(4)
    this.#c = bytes.readInt32LE(8)
    this.#counter = bytes.readInt32LE(12)
  }

  /** The next 32 bits, as a number that is not negative. */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    this.#c |= 0
    return sum >>> 0
  }
}
