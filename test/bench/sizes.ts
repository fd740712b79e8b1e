import { callAll } from "./callers.ts"
import { Voted } from "./counter.ts"
import { processMemory, storeSize } from "./disk.ts"
import { BenchGroup } from "./group.ts"
import { median } from "./measure.ts"
import type { Scale } from "./scale.ts"
import { bytes, count, type Row, type Table } from "./table.ts"

const OPEN = 256
const KEYS = 1000

/** The log, the stores and the memory of three replica processes after a million commands over a thousand actors. */
export async function measureSizes(scale: Scale): Promise<Table> {
  const commands = scale === "quick" ? 50_000 : 1_000_000
  const checkpointEveryBatches = scale === "quick" ? 100 : 1000
  const marginEntries = scale === "quick" ? 100 : 1000
  await using group = await BenchGroup.start({ module: "counter.ts", checkpointEveryBatches })
  const client = await group.connect()
  const counters = Array.from({ length: KEYS }, (_, i) => client.actor(Voted, `key-${i}`))
  const call = async (i: number): Promise<unknown> => counters[i % KEYS]?.add(1)
  const before = await row(group, "nothing yet")
  await callAll({ calls: commands, open: OPEN }, call)
  await group.settled()
  const after = await row(group, `${count(commands)} commands, not truncated`)
  // the log is truncated when a checkpoint becomes durable
  await group.startReplicas({ truncateMarginEntries: marginEntries })
  await group.checkpointed(() => call(0))
  await group.checkpointed(() => call(0))
  await group.settled()
  const truncated = await row(group, `truncated, but for ${count(marginEntries)} entries behind a checkpoint`)
  const { logBytes = 0, logEntries = 1 } = after.figures
  return {
    title: "Sizes, after many commands",
    settings: {
      commands: `${count(commands)} over ${count(KEYS)} actors, ${OPEN} open at a time from one client`,
      checkpoints: `every ${count(checkpointEveryBatches)} batches`,
    },
    columns: [
      { title: "entries", figure: "logEntries", format: count },
      { title: "log", figure: "logBytes", format: bytes },
      { title: "store", figure: "storeBytes", format: bytes },
      { title: "of it WAL", figure: "walBytes", format: bytes },
      { title: "rows in it", figure: "rowBytes", format: bytes },
      { title: "RSS", figure: "rssBytes", format: bytes },
      { title: "peak RSS", figure: "peakRssBytes", format: bytes },
    ],
    rows: [before, after, truncated],
    notes: [
      `${(logBytes / commands).toFixed(1)} bytes of log per command, ${(commands / logEntries).toFixed(0)} commands per entry`,
      "store and memory are of one replica process: the median of three; the last row's processes were started again",
    ],
  }
}

async function row(group: BenchGroup, name: string): Promise<Row> {
  const stores = group.names.map((replica) => storeSize(group.dataDir(replica)))
  const memory = group.names.flatMap((replica) => processMemory(group.replica(replica).pid) ?? [])
  const log = await group.log()
  return {
    name,
    figures: {
      logEntries: log.entries,
      logBytes: log.bytes,
      storeBytes: median(stores.map(({ fileBytes }) => fileBytes)),
      walBytes: median(stores.map(({ walBytes }) => walBytes)),
      rowBytes: median(stores.map(({ rowBytes }) => rowBytes)),
      ...(memory.length > 0 && {
        rssBytes: median(memory.map(({ rssBytes }) => rssBytes)),
        peakRssBytes: median(memory.map(({ peakBytes }) => peakBytes)),
      }),
    },
  }
}
