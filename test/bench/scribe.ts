import {
  BatchWriter,
  ClientId,
  encodeOpening,
  encodeShared,
  GroupName,
  Partition,
  SessionId,
} from "@lockstep/core"
import {
  type Appender,
  type AppendResult,
  type Connection,
  openAppender,
  openConnection,
} from "@lockstep/nats"

/** Entries that are not acknowledged yet, at most. */
const WINDOW = 1024

/** The commands of a log that is written by hand: one method, of one class, on these actors in turn. */
export interface Script {
  readonly type: string
  readonly member: string
  readonly keys: ReadonlyArray<string>
}

/**
 * Writes a log as one client would, without waiting for what replicas say: so a long log takes the time that its server needs.
 * Every command of it has an effect: it is the only one of its number.
 */
export class Scribe implements AsyncDisposable {
  readonly #connection: Connection
  readonly #appender: Appender
  readonly #script: Script
  readonly #batch = new BatchWriter()
  readonly #args = encodeShared([])
  #session: SessionId | undefined
  /** Commands that were written, the next one's number. */
  #written = 0
  #unacknowledged = 0
  #failure: Error | undefined
  #woken = Promise.withResolvers<void>()

  private constructor(connection: Connection, group: GroupName, script: Script) {
    this.#connection = connection
    this.#script = script
    this.#appender = openAppender(
      connection,
      { group, partition: Partition(0), writer: { client: CLIENT } },
      (_, result) => this.#acknowledged(result),
    )
  }

  static async open(servers: ReadonlyArray<string>, group: string, script: Script): Promise<Scribe> {
    const connection = await openConnection({ servers, name: "lockstep-bench-scribe" })
    const scribe = new Scribe(connection, GroupName(group), script)
    scribe.#append(encodeOpening({ client: CLIENT, number: 0 }))
    await scribe.#until(0)
    return scribe
  }

  /** How many commands of this key are in the log. */
  writtenOf(key: number): number {
    const { length: keys } = this.#script.keys
    return Math.floor((this.#written + keys - 1 - key) / keys)
  }

  /** Resolves when all of them are in the log. */
  async write(entries: number, commandsEach: number): Promise<void> {
    for (let i = 0; i < entries; i++) {
      if (this.#unacknowledged >= WINDOW) await this.#until(WINDOW / 2)
      this.#append(this.#next(commandsEach))
    }
    await this.#until(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#appender.close()
    await this.#connection.close()
  }

  #next(commands: number): Uint8Array {
    const { type, member, keys } = this.#script
    if (this.#session === undefined) throw new Error("the log has no session")
    const number = this.#written
    for (let i = 0; i < commands; i++) {
      const key = keys[this.#written++ % keys.length] ?? ""
      this.#batch.add(type, member, key, this.#args, undefined)
    }
    return this.#batch.seal({ client: CLIENT, session: this.#session, number, settledBelow: number })
  }

  #append(payload: Uint8Array): void {
    this.#unacknowledged++
    this.#appender.append(payload, 0)
  }

  #acknowledged(result: AppendResult): void {
    if (result._tag !== "Appended")
      this.#failure = new Error(`the log could not be written: ${result.detail}`)
    else this.#session ??= SessionId(result.seq)
    this.#unacknowledged--
    this.#woken.resolve()
  }

  /** Resolves when so few entries are not acknowledged. */
  async #until(unacknowledged: number): Promise<void> {
    while (this.#unacknowledged > unacknowledged) {
      this.#woken = Promise.withResolvers()
      await this.#woken.promise
      if (this.#failure !== undefined) throw this.#failure
    }
  }
}

const CLIENT = ClientId("scribe")
