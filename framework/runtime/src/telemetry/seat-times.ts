import type { Lap, Member, Stopwatch } from "@lockstep/actor"
import { decodeOutcomes, type Entry, isReturned } from "@lockstep/core"
import type { CheckpointChanges } from "@lockstep/replication"
import type { Attributes, Histogram, Meter } from "@opentelemetry/api"
import { durations, registeredMeter } from "./instruments.ts"
import { errorOf, Methods } from "./methods.ts"
import { aboutPlace, type Place } from "./place.ts"

/** Commands that are measured within a second, at most: to tell an SDK of one costs more than to execute it. */
export const MEASURED_MAX = 2000

/** How long one replica in one partition takes for what it does. */
export class SeatTimes implements Stopwatch {
  readonly #about: Attributes
  readonly #methods: Methods
  readonly #calls: Histogram
  readonly #applies: Histogram
  readonly #lags: Histogram
  readonly #checkpoints: Histogram
  #left = MEASURED_MAX
  #secondMs = Number.NEGATIVE_INFINITY
  /** When it kept a checkpoint last; before the first, when it began. */
  #keptMs = performance.now()
  #writtenBytes = 0

  private constructor(meter: Meter, place: Place) {
    this.#about = aboutPlace(place)
    this.#methods = new Methods(this.#about)
    this.#calls = durations(meter, "serverDuration", "fine")
    this.#applies = durations(meter, "applyDuration", "fine")
    this.#lags = durations(meter, "applyLag", "coarse")
    this.#checkpoints = durations(meter, "checkpointDuration", "coarse")
  }

  /** Undefined where the program has registered nobody who measures. */
  static of(place: Place): SeatTimes | undefined {
    const meter = registeredMeter()
    return meter && new SeatTimes(meter, place)
  }

  /** Something comes in. */
  turn(nowMs: number): void {
    if (nowMs - this.#secondMs < 1000) return
    this.#secondMs = nowMs
    this.#left = MEASURED_MAX
  }

  start(): Lap | undefined {
    if (this.#left === 0) return undefined
    this.#left--
    const startMs = performance.now()
    return (type, member, outcome) => this.#called(type, member, outcome, performance.now() - startMs)
  }

  #called(type: string, member: Member, bytes: Uint8Array, durationMs: number): void {
    const [failed] = isReturned(bytes) ? [] : decodeOutcomes(bytes, 1)
    const attributes = this.#methods.of(type, member, failed && errorOf(failed))
    this.#calls.record(durationMs / 1000, attributes)
  }

  /** Entries that came together were executed, and what came of them is on its way. */
  applied(entries: ReadonlyArray<Entry>, sinceMs: number): void {
    this.#applies.record((performance.now() - sinceMs) / 1000, this.#about)
    const last = entries.at(-1)
    if (last === undefined) return
    const lagMs = Date.now() - Number(last.timeNs / 1_000_000n)
    this.#lags.record(Math.max(0, lagMs) / 1000, this.#about)
  }

  /** A checkpoint is written to the disk: call what is returned once it is there. */
  writing({ header, rows }: CheckpointChanges): () => void {
    const startMs = performance.now()
    return () => {
      this.kept()
      this.#checkpoints.record((this.#keptMs - startMs) / 1000, this.#about)
      this.#writtenBytes += header.length
      for (const bytes of rows.values()) this.#writtenBytes += bytes?.length ?? 0
    }
  }

  /** A checkpoint is on the disk. */
  kept(): void {
    this.#keptMs = performance.now()
  }

  /** Seconds since then. */
  get checkpointAge(): number {
    return (performance.now() - this.#keptMs) / 1000
  }

  get writtenBytes(): number {
    return this.#writtenBytes
  }
}
