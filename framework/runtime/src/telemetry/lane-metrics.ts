import type { Call } from "@lockstep/actor"
import type { GroupName, LockstepError, Outcome, Partition, ReplicaId } from "@lockstep/core"
import type { ClientCounts, Decision } from "@lockstep/replication"
import type { Attributes, Histogram, Meter } from "@opentelemetry/api"
import { totalOf } from "../counts.ts"
import { durations, observe, type Observe, registeredMeter } from "./instruments.ts"
import { errorOf, Methods } from "./methods.ts"
import { ATTRIBUTES } from "./names.ts"

/** Batches that are remembered until the log acknowledges them: it may never do so. */
const UNACKNOWLEDGED_MAX = 1024

interface WatchedLane {
  readonly group: GroupName
  readonly partition: Partition
  readonly voters: ReadonlyArray<ReplicaId>
  readonly counts: () => ClientCounts
  /** How many more voters may fail, if that is known. */
  readonly margin: () => number | undefined
}

/** Metrics of the calls that one client makes to one partition. */
export class LaneMetrics {
  readonly #lane: Attributes
  readonly #methods: Methods
  readonly #durations: Histogram
  readonly #votes: Histogram
  readonly #appends: Histogram
  /** When batches were sent to the log that it has not acknowledged, by token. */
  readonly #sentMs = new Map<number, number>()
  /** The last one that was told of: all calls of a batch are decided together. */
  #told: Decision | undefined
  readonly #end: () => void

  private constructor(meter: Meter, lane: WatchedLane) {
    const { group, partition } = lane
    this.#methods = new Methods({ [ATTRIBUTES.group]: group })
    this.#lane = { [ATTRIBUTES.group]: group, [ATTRIBUTES.partition]: partition }
    this.#durations = durations(meter, "callDuration", "coarse")
    this.#votes = durations(meter, "voteDuration", "coarse")
    this.#appends = durations(meter, "appendDuration", "coarse")
    this.#end = watch(meter, lane)
  }

  /** Undefined where the program has registered nobody who measures. */
  static of(lane: WatchedLane): LaneMetrics | undefined {
    const meter = registeredMeter()
    return meter && new LaneMetrics(meter, lane)
  }

  settled(
    call: Call,
    {
      outcome,
      decision,
      sinceMs,
      nowMs,
    }: {
      readonly outcome: Outcome
      readonly decision: Decision | undefined
      readonly sinceMs: number
      readonly nowMs: number
    },
  ): void {
    this.#record(call, errorOf(outcome), nowMs - sinceMs)
    if (decision === undefined || decision === this.#told) return
    this.#told = decision
    this.#votes.record(seconds(nowMs - decision.firstVoteMs), this.#lane)
  }

  failed(call: Call, error: LockstepError, durationMs: number): void {
    this.#record(call, error._tag, durationMs)
  }

  /** A batch goes to the log, perhaps once more. */
  appending(token: number, nowMs: number): void {
    if (this.#sentMs.has(token)) return
    this.#sentMs.set(token, nowMs)
    if (this.#sentMs.size <= UNACKNOWLEDGED_MAX) return
    for (const oldest of this.#sentMs.keys()) {
      this.#sentMs.delete(oldest)
      return
    }
  }

  /** The log has it. */
  appended(token: number, nowMs: number): void {
    const sentMs = this.#sentMs.get(token)
    if (sentMs === undefined) return
    this.#sentMs.delete(token)
    this.#appends.record(seconds(nowMs - sentMs), this.#lane)
  }

  close(): void {
    this.#end()
  }

  #record({ definition, member }: Call, errorType: string | undefined, durationMs: number): void {
    this.#durations.record(seconds(durationMs), this.#methods.of(definition.type, member, errorType))
  }
}

function seconds(durationMs: number): number {
  return Math.max(0, durationMs) / 1000
}

/**
 * All lanes of this process to one partition. They have the same attributes, and are told as one; what closed ones have counted is part of it while any is
 * open, because a counter that falls would be read as one that began anew.
 */
class Lanes {
  readonly #open = new Set<WatchedLane>()
  readonly #about: Readonly<Record<string, string | number>>
  readonly #voters: ReadonlyArray<ReplicaId>
  readonly #end: () => void
  #closed = totalOf([])

  constructor(meter: Meter, { group, partition, voters }: WatchedLane) {
    this.#about = { [ATTRIBUTES.group]: group, [ATTRIBUTES.partition]: partition }
    this.#voters = voters
    this.#end = observe(meter, (tell) => this.#tell(tell))
  }

  open(lane: WatchedLane): void {
    this.#open.add(lane)
  }

  /** Returns whether it was the last. */
  close(lane: WatchedLane): boolean {
    if (this.#open.delete(lane)) this.#closed = totalOf([this.#closed, lane.counts()])
    if (this.#open.size > 0) return false
    this.#end()
    return true
  }

  #tell(tell: Observe): void {
    const counts = totalOf([this.#closed, ...[...this.#open].map((lane) => lane.counts())])
    tell("batches", counts.batches, this.#about)
    tell("commands", counts.commands, this.#about)
    tell("votesStrange", counts.strangers, this.#about)
    tell("appendsRepeated", counts.appendedAgain, this.#about)
    tell("votesAsked", counts.asked, this.#about)
    // from 0: whoever watches how much it grows would miss the first dissent
    for (const replica of new Set([...this.#voters, ...counts.matches.keys(), ...counts.dissents.keys()])) {
      const about = { ...this.#about, [ATTRIBUTES.replica]: replica }
      tell("votesMatched", counts.matches.get(replica) ?? 0, about)
      tell("votesDissented", counts.dissents.get(replica) ?? 0, about)
    }
    tell("waiting", counts.waiting, this.#about)
    tell("unsent", counts.unsent, this.#about)
    // each client knows what it was told: the least that one of them knows of
    const margins = [...this.#open].flatMap((lane) => lane.margin() ?? [])
    if (margins.length > 0) tell("margin", Math.min(...margins), this.#about)
  }
}

const watched = new WeakMap<Meter, Map<string, Lanes>>()

function watch(meter: Meter, lane: WatchedLane): () => void {
  const byPartition = watched.get(meter) ?? new Map<string, Lanes>()
  watched.set(meter, byPartition)
  const id = `${lane.group}/${lane.partition}`
  const lanes = byPartition.get(id) ?? new Lanes(meter, lane)
  byPartition.set(id, lanes)
  lanes.open(lane)
  return () => {
    if (lanes.close(lane) && byPartition.get(id) === lanes) byPartition.delete(id)
  }
}
