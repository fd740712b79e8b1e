import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openConnection } from "@lockstep/nats"
import { jetstreamManager } from "@nats-io/jetstream"
import { connect, createGroup } from "lockstep"
import { startServer } from "lockstep/develop"
import { expect, it } from "vitest"
import { expectEqual, ledgerReplica } from "./group.ts"
import { Ledger } from "./ledger.ts"

const MIB = 1024 ** 2
const LOG_BYTES_MAX = 8 * MIB
/** One command's. */
const TEXT_BYTES = 64 * 1024
const NAMES = ["r0", "r1", "r2"]

it("a log takes many times what it has room for, whatever the number of batches from one checkpoint to the next", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "lockstep-data-"))
  await using server = await startServer()
  await createGroup({
    servers: server.url,
    replicas: NAMES,
    checkpointEveryBatches: 1000,
    log: { copies: 1, maxBytes: LOG_BYTES_MAX, maxEntryBytes: MIB },
    accept: ["single-copy-log", "sync-interval"],
  })
  const replicas = NAMES.map((replica) =>
    ledgerReplica({ servers: server.url, replica, dataDir, truncateMarginEntries: 4 }),
  )
  await using _ = { [Symbol.asyncDispose]: () => endAll(replicas, dataDir) }
  await Promise.all(replicas.map((replica) => replica.start()))
  await using client = await connect({ servers: server.url })
  const text = "x".repeat(TEXT_BYTES)
  const writes = (4 * LOG_BYTES_MAX) / TEXT_BYTES
  for (let at = 0; at < writes; at += 4)
    await Promise.all([0, 1, 2, 3].map((i) => client.actor(Ledger, `ledger-${at + i}`).record(text)))
  await expectEqual(replicas)
  const [place, all] = await Promise.all([
    client.actor(Ledger, "ledger-0").record("again"),
    client.actor(Ledger, `ledger-${writes - 1}`).entries(0),
  ])
  expect(place).toBe(1)
  expect(all).toEqual([text])
  await using nats = await openConnection({ servers: server.url, name: "test" })
  const { state } = await (await jetstreamManager(nats.nats)).streams.info("LOG_main_0")
  expect(state.first_seq).toBeGreaterThan(1)
})

async function endAll(
  replicas: ReadonlyArray<ReturnType<typeof ledgerReplica>>,
  dataDir: string,
): Promise<void> {
  await Promise.all(replicas.map((replica) => replica.kill()))
  rmSync(dataDir, { recursive: true, force: true })
}
