import type { Call, Member } from "@lockstep/actor"
import type { GroupName, LockstepError, Outcome, Partition, ReplicaId } from "@lockstep/core"
import type { ClientCounts } from "@lockstep/replication"
import type { Attributes, Histogram, Meter } from "@opentelemetry/api"
import { totalOf } from "../counts.ts"
import { observe, type Observe, registeredMeter } from "./instruments.ts"
import { METRICS } from "./metrics.ts"
import { ATTRIBUTES, SPANS, SYSTEM } from "./names.ts"

/** Those of the semantic conventions, and three below: a call inside one machine room takes less than five milliseconds. */
const BOUNDARIES_S = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
]

/** Codes of errors that are told apart, for each method: actors may make them up as they go. */
const ERROR_TYPES_MAX = 64
/** As the semantic conventions call the others. */
const OTHER_ERROR = "_OTHER"

interface WatchedLane {
  readonly group: GroupName
  readonly partition: Partition
  readonly voters: ReadonlyArray<ReplicaId>
  readonly counts: () => ClientCounts
}

/** Metrics of the calls that one client makes to one partition. */
export class LaneMetrics {
  readonly #group: GroupName
  readonly #durations: Histogram
  readonly #methods = new Map<Member, MethodAttributes>()
  readonly #end: () => void

  private constructor(meter: Meter, lane: WatchedLane) {
    const { name, unit, meaning: description } = METRICS.callDuration
    const advice = { explicitBucketBoundaries: BOUNDARIES_S }
    this.#group = lane.group
    this.#durations = meter.createHistogram(name, { unit, description, advice })
    this.#end = watch(meter, lane)
  }

  /** Undefined where the program has registered nobody who measures. */
  static of(lane: WatchedLane): LaneMetrics | undefined {
    const meter = registeredMeter()
    return meter && new LaneMetrics(meter, lane)
  }

  settled(call: Call, outcome: Outcome, durationMs: number): void {
    this.#record(call, errorOf(outcome), durationMs)
  }

  failed(call: Call, error: LockstepError, durationMs: number): void {
    this.#record(call, error._tag, durationMs)
  }

  close(): void {
    this.#end()
  }

  #record({ definition, member }: Call, errorType: string | undefined, durationMs: number): void {
    let method = this.#methods.get(member)
    if (method === undefined) {
      method = new MethodAttributes({
        [ATTRIBUTES.rpcSystem]: SYSTEM,
        [ATTRIBUTES.rpcMethod]: SPANS.call(definition.type, member.name),
        [ATTRIBUTES.group]: this.#group,
      })
      this.#methods.set(member, method)
    }
    this.#durations.record(Math.max(0, durationMs) / 1000, method.of(errorType))
  }
}

/** What is said of every call of one method, made once. */
class MethodAttributes {
  readonly #answered: Attributes
  readonly #failed = new Map<string, Attributes>()

  constructor(about: Attributes) {
    this.#answered = about
  }

  of(errorType: string | undefined): Attributes {
    if (errorType === undefined) return this.#answered
    const known = this.#failed.get(errorType)
    if (known !== undefined) return known
    if (this.#failed.size >= ERROR_TYPES_MAX && errorType !== OTHER_ERROR) return this.of(OTHER_ERROR)
    const attributes = { ...this.#answered, [ATTRIBUTES.errorType]: errorType }
    this.#failed.set(errorType, attributes)
    return attributes
  }
}

function errorOf(outcome: Outcome): string | undefined {
  switch (outcome._tag) {
    case "Returned":
      return undefined
    case "Threw":
      return outcome.code
    case "Refused":
      return outcome.reason
  }
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
    tell("votesMatched", counts.matched, this.#about)
    tell("votesStrange", counts.strangers, this.#about)
    tell("appendsRepeated", counts.appendedAgain, this.#about)
    tell("votesAsked", counts.asked, this.#about)
    // from 0: whoever watches how much it grows would miss the first dissent
    for (const replica of new Set([...this.#voters, ...counts.dissents.keys()]))
      tell("votesDissented", counts.dissents.get(replica) ?? 0, {
        ...this.#about,
        [ATTRIBUTES.replica]: replica,
      })
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
