import {
  BatchWriter,
  ClientId,
  decodeStatement,
  decodeVote,
  encodeOpening,
  encodeShared,
} from "@lockstep/core"
import { GroupName, Partition, type SessionId } from "@lockstep/core"
import { type Connection, openAppender, openConnection } from "@lockstep/nats"
import { jetstreamManager } from "@nats-io/jetstream"
import { describe, expect, it } from "vitest"
import { LedgerGroup } from "./group.ts"
import { Ledger } from "./ledger.ts"

const client = ClientId("by-hand")

describe("a batch that is sent again under its number", () => {
  it("is not executed again, although the log was purged and the server forgot that it knew it", async () => {
    await using group = await LedgerGroup.start()
    await using connection = await openConnection({ servers: group.server.url, name: "test" })
    const votes = votesOf(connection)
    const append = appenderOf(connection)

    append(encodeOpening({ client, number: 0 }))
    await expect.poll(() => votes.length).toBe(3)
    const [session] = votes.splice(0).map((vote) => vote.session)
    if (session === undefined) throw new Error("the opening was answered")

    append(recording("once", session))
    await expect.poll(() => votes.length).toBe(3)
    const first = votes.splice(0)
    expect(new Set(first.map(({ seq }) => seq))).toEqual(new Set([2]))

    const { streams } = await jetstreamManager(connection.nats)
    expect(await streams.purge("LOG_main_0", { seq: 2 })).toMatchObject({ purged: 1 })
    const back = new Promise<void>((resolve) => connection.onReconnect(resolve))
    await group.server.kill("SIGKILL")
    await group.server.restart()
    await back
    append(recording("once", session))
    await expect.poll(() => votes.length, { timeout: 10_000 }).toBe(3)
    expect(votes).toEqual(first)

    await using caller = await group.connect()
    expect(await caller.actor(Ledger, "key").entries(0)).toEqual(["once"])
  })
})

/** What replicas said to our client, in an order that does not depend on who was first. */
function votesOf(connection: Connection): Array<ReturnType<typeof decodeStatement>> {
  const votes: Array<ReturnType<typeof decodeStatement>> = []
  connection.subscribe(`vote.main.*.${client}`, (_, bytes) => {
    votes.push(decodeStatement(decodeVote(bytes).statement))
  })
  return votes
}

function appenderOf(connection: Connection): (payload: Uint8Array) => void {
  const log = { group: GroupName("main"), partition: Partition(0), writer: { client } }
  const appender = openAppender(connection, log, () => undefined)
  let token = 0
  return (payload) => appender.append(payload, token++)
}

function recording(id: string, session: SessionId): Uint8Array {
  const batch = new BatchWriter()
  batch.add("test/Ledger", "record", "key", encodeShared([id]), undefined)
  return batch.seal({ client, session, number: 1, settledBelow: 0 })
}
