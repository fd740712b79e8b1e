import { setTimeout as sleep } from "node:timers/promises"
import { ClientId, type Entry, GroupName, Partition, ReplicaId } from "@lockstep/core"
import {
  type AppendResult,
  type Connection,
  createGroup,
  openAppender,
  openConnection,
  openTail,
  SILENCE_MS_MAX,
  type Server,
  startServer,
  type TailHandlers,
} from "@lockstep/nats"
import { jetstreamManager } from "@nats-io/jetstream"
import type { NatsConnection } from "@nats-io/transport-node"
import { describe, expect, it } from "vitest"

const group = GroupName("g")
const partition = Partition(0)

/** A server with one group, and a connection to it. */
async function fixture(log: { maxBytes?: number; maxEntryBytes?: number } = {}) {
  const server = await startServer()
  const connection = await openConnection({ servers: server.url, name: "test" })
  await createGroup(connection, {
    group,
    replicas: [ReplicaId("r0")],
    partitions: 1,
    checkpointEveryBatches: 1000,
    log: { copies: 1, maxBytes: 1024 ** 2, maxEntryBytes: 64 * 1024, ...log },
    environment: "development",
    accept: [],
  })
  return {
    server,
    connection,
    async [Symbol.asyncDispose]() {
      await connection.close()
      await server.stop()
    },
  }
}

/** Appends, and resolves with the log's answer. */
function appending(connection: Connection) {
  const waiting = new Map<number, (result: AppendResult) => void>()
  const appender = openAppender(
    connection,
    { group, partition, writer: { client: ClientId("c") } },
    (token, result) => waiting.get(token)?.(result),
  )
  let token = 0
  return (payload: Uint8Array | string): Promise<AppendResult> =>
    new Promise((resolve) => {
      waiting.set(++token, resolve)
      appender.append(Buffer.from(payload), token)
    })
}

/** A tail that remembers what it saw, and starts again where it was. */
function following(connection: Connection, from?: () => number) {
  const entries: Array<Entry> = []
  const attached: Array<Parameters<TailHandlers["onAttached"]>[0]> = []
  const away: Array<string> = []
  const pending: Array<readonly [seq: number, pending: number]> = []
  const tail = openTail(
    connection,
    { group, partition, from: from ?? (() => (entries.at(-1)?.seq ?? 0) + 1) },
    {
      onAttached: (state) => attached.push(state),
      onAway: (detail) => away.push(detail),
      onEntries: (batch) => {
        entries.push(...batch)
        pending.push([batch.at(-1)?.seq ?? 0, tail.pending])
      },
    },
  )
  return { tail, entries, attached, away, pending, seqs: () => entries.map((entry) => entry.seq) }
}

async function deleteConsumers({ nats }: Connection): Promise<void> {
  const { consumers } = await jetstreamManager(nats)
  for await (const consumer of consumers.list("LOG_g_0")) await consumers.delete("LOG_g_0", consumer.name)
}

/** The connection, on which the deliveries of these positions are lost, once each. */
function losing(connection: Connection, lost: Set<number>): Connection {
  const { nats } = connection
  const subscribe: NatsConnection["subscribe"] = (subject, options) =>
    nats.subscribe(subject, {
      ...options,
      callback: (error, message) => {
        const seq = Number(message.reply?.split(".")[5])
        if (!lost.delete(seq)) void options?.callback?.(error, message)
      },
    })
  const get = (_: NatsConnection, name: string | symbol): unknown => {
    const value: unknown = name === "subscribe" ? subscribe : Reflect.get(nats, name)
    return typeof value === "function" ? value.bind(nats) : value
  }
  return { ...connection, nats: new Proxy(nats, { get }) }
}

describe("a partition's log", () => {
  it("says how many entries are still to come", async () => {
    await using f = await fixture()
    const append = appending(f.connection)
    const count = 3000
    await Promise.all(Array.from({ length: count }, (_, i) => append(String(i))))
    const reader = following(f.connection)
    await expect.poll(() => reader.entries.length, { timeout: 10_000 }).toBe(count)
    const { pending } = reader
    expect(pending.length).toBeGreaterThan(2)
    expect(pending).toEqual(pending.map(([seq]) => [seq, count - seq]))
    reader.tail.close()
  })

  it("acknowledges an entry with its position, and delivers it with the same bytes", async () => {
    await using f = await fixture()
    const append = appending(f.connection)
    const reader = following(f.connection)
    expect(await append("one")).toEqual({ _tag: "Appended", seq: 1 })
    expect(await append("two")).toEqual({ _tag: "Appended", seq: 2 })
    await expect.poll(reader.seqs).toEqual([1, 2])
    expect(reader.entries.map((entry) => Buffer.from(entry.payload).toString())).toEqual(["one", "two"])
    expect(reader.entries.map(({ source }) => source)).toEqual(["client.c", "client.c"])
    const ms = Number((reader.entries[0]?.timeNs ?? 0n) / 1_000_000n)
    expect(Math.abs(ms - Date.now())).toBeLessThan(60_000)
    reader.tail.close()
  })

  it("says that it is full, and that an entry is too large: neither is in the log", async () => {
    await using f = await fixture({ maxBytes: 20_000, maxEntryBytes: 10_000 })
    const append = appending(f.connection)
    expect(await append(Buffer.alloc(11_000))).toMatchObject({ _tag: "Refused", reason: "too-large" })
    expect(await append(Buffer.alloc(9_000))).toEqual({ _tag: "Appended", seq: 1 })
    expect(await append(Buffer.alloc(9_000))).toEqual({ _tag: "Appended", seq: 2 })
    expect(await append(Buffer.alloc(9_000))).toMatchObject({ _tag: "Refused", reason: "full" })
    expect(await append(Buffer.alloc(2_000_000))).toMatchObject({ _tag: "Refused", reason: "too-large" })
  })

  it("says that it does not know when nobody answers for the log", async () => {
    await using f = await fixture()
    const appender: Array<AppendResult> = []
    const other = openAppender(
      f.connection,
      { group: GroupName("nobody"), partition, writer: { client: ClientId("c") } },
      (_, result) => appender.push(result),
    )
    other.append(Buffer.from("?"), 1)
    await expect.poll(() => appender[0]?._tag).toBe("Unknown")
  })

  it("is followed on after its server was killed and started again", async () => {
    await using f = await fixture()
    const reader = following(f.connection)
    await appending(f.connection)("one")
    await expect.poll(reader.seqs).toEqual([1])
    await killAndRestart(f.server)
    expect(await retried(() => appending(f.connection)("two"))).toEqual({ _tag: "Appended", seq: 2 })
    await expect.poll(reader.seqs, { timeout: 10_000 }).toEqual([1, 2])
    reader.tail.close()
  }, 20_000)

  it("is not taken for silent by a process that was busy itself", async () => {
    await using world = await fixture()
    const append = appending(world.connection)
    const { attached, seqs, tail } = following(world.connection)
    await append("one")
    await expect.poll(seqs).toEqual([1])
    // such as one that writes a large checkpoint, when an entry has arrived
    world.connection.subscribe("busy", () => {
      const until = performance.now() + SILENCE_MS_MAX + 500
      while (performance.now() < until);
    })
    world.connection.publish("busy", Buffer.of())
    await append("two")
    await expect.poll(seqs).toEqual([1, 2])
    await sleep(SILENCE_MS_MAX / 2)
    expect(attached).toHaveLength(1)
    tail.close()
  })

  it("is found silent as soon as ever, however long the process was busy before", async () => {
    await using world = await fixture()
    const { attached, tail } = following(world.connection)
    await expect.poll(() => attached.length).toBe(1)
    await sleep(100)
    // in the turn of a timer: what has arrived meanwhile is heard before the watchdog looks
    const until = performance.now() + 4 * SILENCE_MS_MAX
    while (performance.now() < until);
    await sleep(100)
    await deleteConsumers(world.connection)
    await expect.poll(() => attached.length, { timeout: 3 * SILENCE_MS_MAX }).toBe(2)
    tail.close()
  }, 20_000)

  it("is followed on after its server was paused", async () => {
    await using f = await fixture()
    const reader = following(f.connection)
    await appending(f.connection)("one")
    await f.server.kill("SIGSTOP")
    await sleep(4000)
    await f.server.kill("SIGCONT")
    expect(await retried(() => appending(f.connection)("two"))).toMatchObject({ _tag: "Appended" })
    await expect.poll(reader.seqs, { timeout: 10_000 }).toEqual([1, 2])
    reader.tail.close()
  }, 20_000)

  it("is followed without a gap although deliveries are lost between servers, the last one too", async () => {
    await using f = await fixture()
    const lost = new Set([3, 4, 9])
    const reader = following(losing(f.connection, lost))
    const append = appending(f.connection)
    for (let i = 1; i <= 9; i++) await append(String(i))
    await expect.poll(reader.seqs, { timeout: 10_000 }).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(lost.size).toBe(0)
    reader.tail.close()
  })

  it("is followed on after somebody deleted the consumer", async () => {
    await using f = await fixture()
    const reader = following(f.connection)
    await appending(f.connection)("one")
    await expect.poll(reader.seqs).toEqual([1])
    await deleteConsumers(f.connection)
    await appending(f.connection)("two")
    await expect.poll(reader.seqs, { timeout: 10_000 }).toEqual([1, 2])
    expect(reader.attached.length).toBeGreaterThan(1)
    reader.tail.close()
  }, 20_000)

  it("shows on attachment that it was deleted and made again", async () => {
    await using f = await fixture()
    const reader = following(f.connection, () => 1)
    await expect.poll(() => reader.attached.length).toBe(1)
    const { streams } = await jetstreamManager(f.connection.nats)
    const { config } = await streams.info("LOG_g_0")
    await streams.delete("LOG_g_0")
    await streams.add({ ...config, metadata: { ...config.metadata, log_id: "another" } })
    reader.tail.reattach()
    await expect.poll(() => reader.attached.at(-1)?.logId).toBe("another")
    reader.tail.close()
  })

  it("is said to be away, once, when it was deleted", async () => {
    await using f = await fixture()
    const reader = following(f.connection)
    await expect.poll(() => reader.attached.length).toBe(1)
    const { streams } = await jetstreamManager(f.connection.nats)
    await streams.delete("LOG_g_0")
    reader.tail.reattach()
    await expect.poll(() => reader.away.length).toBe(1)
    await sleep(500)
    expect(reader.away).toHaveLength(1)
    reader.tail.close()
  })

  it("starts where it is told to, the last executed entry included", async () => {
    await using f = await fixture()
    const append = appending(f.connection)
    for (const text of ["one", "two", "three"]) await append(text)
    const reader = following(f.connection, () => 2)
    await expect.poll(reader.seqs).toEqual([2, 3])
    reader.tail.close()
  })

  it("delivers nothing after it was closed", async () => {
    await using f = await fixture()
    const reader = following(f.connection)
    await appending(f.connection)("one")
    await expect.poll(reader.seqs).toEqual([1])
    reader.tail.close()
    await appending(f.connection)("two")
    await sleep(100)
    expect(reader.seqs()).toEqual([1])
  })

  it("delivers apart what was in the log when it was attached, and what came then", async () => {
    await using f = await fixture()
    const append = appending(f.connection)
    for (let i = 0; i < 20; i++) await append("before")
    const batches: Array<ReadonlyArray<string>> = []
    const tail = openTail(
      f.connection,
      { group, partition, from: () => 1 },
      {
        onAttached: () => void Promise.all(Array.from({ length: 20 }, () => append("after"))),
        onAway: () => undefined,
        onEntries: (batch) => batches.push(batch.map(({ payload }) => Buffer.from(payload).toString())),
      },
    )
    await expect.poll(() => batches.flat().length).toBe(40)
    const mixed = batches.filter((batch) => new Set(batch).size > 1)
    expect([mixed, batches.flat().filter((payload) => payload === "before").length]).toEqual([[], 20])
    tail.close()
  })

  it("delivers many thousands in order, in batches", async () => {
    await using f = await fixture({ maxBytes: 64 * 1024 ** 2 })
    const append = appending(f.connection)
    await Promise.all(Array.from({ length: 5000 }, (_, i) => append(`entry ${i}`)))
    const reader = following(f.connection, () => 1)
    await expect.poll(() => reader.entries.length, { timeout: 10_000 }).toBe(5000)
    expect(reader.seqs()).toEqual(Array.from({ length: 5000 }, (_, i) => i + 1))
    reader.tail.close()
  }, 20_000)
})

async function killAndRestart(server: Server): Promise<void> {
  await server.kill("SIGKILL")
  await server.restart()
}

/** Appends until the log answers: what is sent while the connection is down is lost. */
async function retried(append: () => Promise<AppendResult>): Promise<AppendResult> {
  for (;;) {
    const result = await Promise.race([append(), sleep(500)])
    if (result !== undefined && result._tag === "Appended") return result
  }
}
