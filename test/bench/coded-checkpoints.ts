import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { erasureCoded, type ReplicationMode } from "@lockstep/replication"
import { connect, type Host, host, stateMachine } from "lockstep"
import { startServer } from "lockstep/develop"
import { callAll } from "./callers.ts"
import { packedBytes, type StoreSize, storeSize } from "./disk.ts"
import { biography, profileOf } from "./profile.ts"
import type { Scale } from "./scale.ts"
import { bytes, count, ratio, type Row, type Table } from "./table.ts"

const OPEN = 256
const CHECKPOINT_EVERY_BATCHES = 20
const DEADLINE_MS = 3_600_000

const GROUPS: ReadonlyArray<{ readonly name: string; readonly mode: ReplicationMode }> = [
  { name: "3 replicas, whole copies", mode: stateMachine({ faults: 1, faultModel: "byzantine" }) },
  {
    name: "3 replicas, shards 2 + 1",
    mode: stateMachine({
      faults: 1,
      faultModel: "byzantine",
      checkpoints: erasureCoded({ data: 2, parity: 1 }),
    }),
  },
  { name: "5 replicas, whole copies", mode: stateMachine({ faults: 2, faultModel: "byzantine" }) },
  {
    name: "5 replicas, shards 3 + 2",
    mode: stateMachine({
      faults: 2,
      faultModel: "byzantine",
      checkpoints: erasureCoded({ data: 3, parity: 2 }),
    }),
  },
]

/** The disks of all replicas together, where each keeps a whole copy of a checkpoint and where each keeps a shard of it. */
export async function measureCodedCheckpoints(scale: Scale): Promise<Table> {
  const actors = scale === "quick" ? 2000 : 20_000
  const rows: Array<Row> = []
  for (const { name, mode } of GROUPS) {
    const size = await disksOf(mode, actors)
    // each group of shards stands below that of copies that it is compared with
    const copies = mode.storage === "copies" ? size : rows.at(-1)?.figures
    rows.push({
      name,
      figures: {
        ...size,
        rowsRatio: size.rowBytes / (copies?.["rowBytes"] ?? Number.NaN),
        packedRatio: size.packedBytes / (copies?.["packedBytes"] ?? Number.NaN),
        filesRatio: size.fileBytes / (copies?.["fileBytes"] ?? Number.NaN),
      },
    })
  }
  return {
    title: "Checkpoints on all disks",
    settings: {
      actors: `${count(actors)} of about 300 bytes, the same in every group`,
      replicas: "hosts in this process, with a folder each and a nats-server for each group",
      checkpoints: `every ${CHECKPOINT_EVERY_BATCHES} batches; measured after the hosts have closed their stores`,
    },
    columns: [
      { title: "rows", figure: "rowBytes", format: bytes },
      { title: "× copies", figure: "rowsRatio", format: ratio },
      { title: "files", figure: "fileBytes", format: bytes },
      { title: "× copies", figure: "filesRatio", format: ratio },
      { title: "packed", figure: "packedBytes", format: bytes },
      { title: "× copies", figure: "packedRatio", format: ratio },
    ],
    rows,
    notes: [
      "Of three copies, 2 + 1 shards are 0.50; of five, 3 + 2 are 0.33. Files hold besides: keys, the digests of 4,096 buckets, the",
      "versions of rows that the last two checkpoints differ in, and room in pages; packed is what they take after a VACUUM.",
    ],
  }
}

type Disks = Pick<StoreSize, "rowBytes" | "fileBytes" | "freeBytes"> & { readonly packedBytes: number }

/** What the stores of all replicas take together, once all that was written is in a checkpoint on the disks. */
async function disksOf(mode: ReplicationMode, actors: number): Promise<Disks> {
  const folder = mkdtempSync(join(tmpdir(), "lockstep-bench-"))
  const Profile = profileOf(mode)
  const names = Array.from({ length: mode.replicas }, (_, i) => `r${i}`)
  try {
    await using server = await startServer()
    await using stack = new AsyncDisposableStack()
    const hosts: Array<Host> = []
    for (const replica of names)
      hosts.push(
        stack.use(
          await host({
            servers: server.url,
            replica,
            actors: [Profile],
            determinism: "guarded",
            dataDir: join(folder, replica),
            create: { replicas: names, checkpointEveryBatches: CHECKPOINT_EVERY_BATCHES },
          }),
        ),
      )
    const client = stack.use(await connect({ servers: server.url, limits: { deadlineMs: DEADLINE_MS } }))
    await callAll({ calls: actors, open: OPEN }, (i) => client.actor(Profile, `key-${i}`).write(biography(i)))
    // once everything is in a durable checkpoint, older versions go with the next
    for (let i = 0; i < 2; i++) await checkpointed(hosts, () => client.actor(Profile, "key-0").visit())
    await stack.disposeAsync()
    const stores = names.map((replica) => join(folder, replica))
    const sizes = stores.map(storeSize)
    const sum = (figure: keyof StoreSize): number => sizes.reduce((total, size) => total + size[figure], 0)
    return {
      rowBytes: sum("rowBytes"),
      fileBytes: sum("fileBytes"),
      freeBytes: sum("freeBytes"),
      packedBytes: stores.reduce((total, store) => total + packedBytes(store), 0),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Makes calls until every host knows that a checkpoint of all that it has executed now is on the disks. */
async function checkpointed(hosts: ReadonlyArray<Host>, call: () => Promise<unknown>): Promise<void> {
  const reached = (what: "applied" | "durable"): number =>
    Math.min(...hosts.map(({ status }) => status[0]?.[what] ?? 0))
  const seq = Math.max(...hosts.map(({ status }) => status[0]?.applied ?? 0))
  while (reached("durable") < seq) {
    const halted = hosts.find(({ live }) => !live)
    if (halted !== undefined) throw new Error(`${halted.replica} halted: ${halted.status[0]?.halted?.detail}`)
    await call()
    await sleep(1)
  }
}
