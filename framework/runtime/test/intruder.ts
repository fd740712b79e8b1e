import {
  type Batch,
  BatchWriter,
  ClientId,
  decodeOutcomes,
  decodeStatement,
  decodeVote,
  encode,
  encodeOpening,
  type Outcome,
  SessionId,
  sliceOf,
} from "@lockstep/core"
import { type Connection, openConnection } from "@lockstep/nats"

/** A batch, as an intruder writes one. */
export type Sent = Omit<Batch, "_tag" | "traces" | "commands"> & {
  readonly commands: ReadonlyArray<SentCommand>
}

export interface SentCommand {
  readonly method: number
  readonly key: string
  readonly args: Uint8Array
}

/** Somebody who may publish on every subject of the group `"main"`, and does not use our client for it. */
export interface Intruder extends AsyncDisposable {
  readonly connection: Connection
  readonly client: ClientId
  readonly session: SessionId
  /** The bytes of a batch of this intruder's, as far as it is not given otherwise. */
  batch(given: Partial<Sent>): Buffer
  /** Puts an entry into the log, and resolves with its position. */
  append(payload: Uint8Array): Promise<number>
  /** Puts a batch into the log, and resolves with the outcomes that the first replica votes for. */
  ask(given: Partial<Sent>): Promise<ReadonlyArray<Outcome>>
}

/** Opens a session of its own, by the rules. */
export async function intrude(servers: string): Promise<Intruder> {
  const connection = await openConnection({ servers, name: "intruder" })
  const client = ClientId("intruder")
  const append = async (payload: Uint8Array): Promise<number> => {
    const ack = await connection.nats.request("cmd.main.0.client.intruder", payload)
    return ack.json<{ readonly seq: number }>().seq
  }
  const session = SessionId(await append(encodeOpening({ client, number: 0 })))
  let number = 1
  const batch = (given: Partial<Sent>): Buffer =>
    seal({
      client,
      session,
      number: number++,
      settledBelow: 0,
      methods: [ADD],
      commands: [command()],
      ...given,
    })
  const ask = async (given: Partial<Sent>): Promise<ReadonlyArray<Outcome>> => {
    const { promise, resolve } = Promise.withResolvers<ReadonlyArray<Outcome>>()
    const payload = batch(given)
    const latest = given.number ?? number - 1
    const stop = connection.subscribe(`vote.main.*.${given.client ?? client}`, (_, bytes) => {
      const vote = decodeVote(bytes)
      const statement = decodeStatement(vote.statement)
      if (statement.number === latest) resolve(decodeOutcomes(vote.bytes, statement.count))
    })
    await append(payload)
    const outcomes = await promise
    stop()
    return outcomes
  }
  const close = () => connection.close()
  return { connection, client, session, batch, append, ask, [Symbol.asyncDispose]: close }
}

/** One call of a counter that nobody else uses, as far as it is not given otherwise. */
export function command(given: Partial<SentCommand> = {}): SentCommand {
  return { method: 0, key: "intruded", args: encode([1]), ...given }
}

const ADD = { type: "test/Counter", member: "add" }

function seal(batch: Sent): Buffer {
  const writer = new BatchWriter()
  for (const { method, key, args } of batch.commands) {
    const name = batch.methods[method] ?? ADD
    writer.add(name.type, name.member, key, sliceOf(args), undefined)
  }
  return writer.seal(batch)
}
