import { stateMachine } from "lockstep"
import { median } from "./measure.ts"
import { type CheckpointTime, LonePartition } from "./partition.ts"
import { biography, profileOf } from "./profile.ts"
import type { Scale } from "./scale.ts"
import { count, microseconds, milliseconds, ratio, type Row, type Table } from "./table.ts"

const CHANGED = 1000
/** Actors are made in larger steps than they are changed. */
const FILLED_AT_ONCE = 50_000
const ACTOR_BYTES_MAX = 256 * 1024 * 1024

/** What a checkpoint costs for each actor that has changed, with few and with many actors that have not. */
export async function measureCheckpointCost(scale: Scale): Promise<Table> {
  const sizes = scale === "quick" ? [1000, 20_000] : [1000, 100_000, 1_000_000]
  const rounds = scale === "quick" ? 5 : 30
  const rows = sizes.map((size) => row(size, rounds))
  const [few, many] = [rows[0], rows.at(-1)].map((found) => found?.figures["perChangedUs"] ?? Number.NaN)
  return {
    title: "Checkpoint cost",
    settings: {
      measured:
        "in this process: the replica's protocol, and the store that hosts use (SQLite, synchronous = FULL)",
      changed: `${count(CHANGED)} actors of about 300 bytes, spread over all, and one session`,
      rounds,
    },
    columns: [
      { title: "rows, digests", figure: "takenMs", format: milliseconds },
      { title: "to disk", figure: "keptMs", format: milliseconds },
      { title: "per changed actor", figure: "perChangedUs", format: microseconds },
      { title: "of it CPU", figure: "takenPerChangedUs", format: microseconds },
    ],
    rows,
    notes: [
      `with ${count((sizes.at(-1) ?? 0) / (sizes[0] ?? 1))} times the actors it costs ${ratio((many ?? 0) / (few ?? 1))} times as much per changed actor`,
      "medians, from the entry that makes a checkpoint due to its being on the disk",
    ],
  }
}

function row(actors: number, rounds: number): Row {
  const mode = stateMachine({ faults: 1, faultModel: "byzantine" })
  using partition = new LonePartition(profileOf(mode), mode, ACTOR_BYTES_MAX)
  for (let from = 0; from < actors; from += FILLED_AT_ONCE)
    partition.change("write", fill(from, Math.min(actors, from + FILLED_AT_ONCE)))
  const times: Array<CheckpointTime> = []
  for (let round = 0; round < rounds; round++) {
    const stride = Math.max(1, Math.floor(actors / CHANGED))
    const calls = Array.from(
      { length: CHANGED },
      (_, i) => [`key-${i * stride + (round % stride)}`, biography(actors + round * CHANGED + i)] as const,
    )
    times.push(partition.change("write", calls))
  }
  const takenMs = median(times.map((time) => time.takenMs))
  return {
    name: `${count(actors)} actors`,
    figures: {
      actors: partition.actors,
      takenMs,
      keptMs: median(times.map((time) => time.keptMs)),
      perChangedUs: (1000 * median(times.map((time) => time.takenMs + time.keptMs))) / CHANGED,
      takenPerChangedUs: (1000 * takenMs) / CHANGED,
    },
  }
}

function* fill(from: number, to: number): Generator<readonly [key: string, about: string]> {
  for (let i = from; i < to; i++) yield [`key-${i}`, biography(i)]
}
