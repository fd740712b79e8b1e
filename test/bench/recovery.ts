import { storeSize } from "./disk.ts"
import { callAll } from "./callers.ts"
import { BenchGroup, type Start } from "./group.ts"
import { median } from "./measure.ts"
import { biography, Voted } from "./profile.ts"
import type { Scale } from "./scale.ts"
import { bytes, count, milliseconds, type Row, type Table } from "./table.ts"

const OPEN = 256
const BUSY_KEYS = 1000
const CHECKPOINT_EVERY_BATCHES = 100
/** A replica that lost everything. The two others answer meanwhile. */
const LOST = "r2"

/** How long a replica takes to be up to date again: from the log, from its own checkpoint, and from that of a peer. */
export async function measureRecovery(scale: Scale): Promise<Table> {
  const commands = scale === "quick" ? 50_000 : 1_000_000
  const actors = scale === "quick" ? 5000 : 100_000
  const rounds = scale === "quick" ? 1 : 3
  await using group = await BenchGroup.start({
    module: "profile.ts",
    checkpointEveryBatches: CHECKPOINT_EVERY_BATCHES,
  })
  const empty = await repeat(rounds, () => group.restart(LOST, { store: "emptied" }))
  const client = await group.connect()
  const busy = Array.from({ length: BUSY_KEYS }, (_, i) => client.actor(Voted, `busy-${i}`))
  const visit = async (i: number): Promise<unknown> => busy[i % BUSY_KEYS]?.visit()
  await callAll({ calls: commands, open: OPEN }, visit)
  await group.settled()
  const replayed = await repeat(rounds, () => group.restart(LOST, { store: "emptied" }))
  await callAll({ calls: actors, open: OPEN }, (i) => client.actor(Voted, `idle-${i}`).write(biography(i)))
  await group.checkpointed(() => visit(0))
  const restored = await repeat(rounds, () => group.restart(LOST, { store: "kept" }))
  const truncating = { truncateMarginEntries: 1 }
  await group.startReplicas(truncating)
  await group.checkpointed(() => visit(0))
  await group.checkpointed(() => visit(0))
  const fetched = await repeat(rounds, () => group.restart(LOST, { store: "emptied", settings: truncating }))
  const { rows, rowBytes } = storeSize(group.dataDir(LOST))
  return {
    title: "Recovery of one replica",
    settings: {
      log: `${count(commands)} commands, ${OPEN} open at a time, over ${count(BUSY_KEYS)} actors`,
      checkpoint: `of ${count(rows)} rows, ${bytes(rowBytes)}; one every ${CHECKPOINT_EVERY_BATCHES} batches`,
      rounds,
    },
    columns: [
      { title: "from its start", figure: "totalMs", format: milliseconds },
      { title: "of it recovery", figure: "recoveryMs", format: milliseconds },
      { title: "entries/s", figure: "entriesPerSecond", format: count },
      { title: "commands/s", figure: "commandsPerSecond", format: count },
      { title: "rows/s", figure: "rowsPerSecond", format: count },
      { title: "bytes/s", figure: "bytesPerSecond", format: bytes },
    ],
    rows: [
      row("first entry", "an empty log", empty, () => ({})),
      row("first entry", "replays the log from its first entry", replayed, (start) => ({
        recoveryMs: start.caughtUpMs - start.attachedMs,
        entries: start.entries,
        commands: start.commands,
      })),
      row("own checkpoint", "begins at its own checkpoint", restored, (start) => ({
        recoveryMs: start.caughtUpMs - median(empty.map(({ caughtUpMs }) => caughtUpMs)),
        rows,
        bytes: rowBytes,
      })),
      row("peer's checkpoint", "fetches a checkpoint of a peer", fetched, (start) => ({
        recoveryMs: start.caughtUpMs - start.attachedMs,
        rows,
        bytes: rowBytes,
      })),
    ],
    notes: [
      "Medians, until all that was in the log at the start is executed. Recovery counts from the attachment to the log; that from",
      "its own checkpoint is what the start takes longer than with an empty log. Fetching begins with a wait of up to 0.5 s.",
    ],
  }
}

/** What was done in the milliseconds of a recovery. */
interface Recovery {
  readonly recoveryMs?: number
  readonly entries?: number
  readonly commands?: number
  readonly rows?: number
  readonly bytes?: number
}

function row(
  beganAt: Start["beganAt"],
  name: string,
  starts: ReadonlyArray<Start>,
  recoveryOf: (start: Start) => Recovery,
): Row {
  const other = starts.find((start) => start.beganAt !== beganAt)
  if (other !== undefined) throw new Error(`the replica began at: ${other.beganAt}, and not at: ${beganAt}`)
  const recoveries = starts.map(recoveryOf)
  const middle = (value: (recovery: Recovery) => number | undefined): number | undefined => {
    const values = recoveries.flatMap((recovery) => value(recovery) ?? [])
    return values.length === 0 ? undefined : median(values)
  }
  const perSecond = (what: "entries" | "commands" | "rows" | "bytes"): number | undefined =>
    middle(({ [what]: done, recoveryMs = 0 }) =>
      done === undefined || recoveryMs <= 0 ? undefined : (done * 1000) / recoveryMs,
    )
  return {
    name,
    figures: {
      totalMs: median(starts.map(({ caughtUpMs }) => caughtUpMs)),
      recoveryMs: middle(({ recoveryMs }) => recoveryMs),
      entriesPerSecond: perSecond("entries"),
      commandsPerSecond: perSecond("commands"),
      rowsPerSecond: perSecond("rows"),
      bytesPerSecond: perSecond("bytes"),
    },
  }
}

async function repeat<Result>(times: number, work: () => Promise<Result>): Promise<Array<Result>> {
  const results: Array<Result> = []
  for (let i = 0; i < times; i++) results.push(await work())
  return results
}
