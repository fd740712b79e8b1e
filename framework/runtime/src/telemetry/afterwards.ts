import type { TracedCommand } from "@lockstep/actor"
import { type ClientId, digest, Malformed, splitOutcomes } from "@lockstep/core"
import { wallMs } from "./clock.ts"
import type { Started } from "./executions.ts"
import { registeredTracer } from "./in-commands.ts"
import { ATTRIBUTES } from "./names.ts"
import { decodeNotice, encodeTold, type Notice } from "./notice.ts"
import { Rate } from "./rate.ts"
import { EXECUTIONS_MAX, type RecentExecution, RecentExecutions } from "./recent-executions.ts"

/** Notices that are looked at in a second, at most: any client may send them. */
export const NOTICES_PER_SECOND = 64
/** Notices about batches that are still to be executed, at most. The oldest goes first. */
const EARLY_MAX = 64

type Answer = (to: ClientId, bytes: Uint8Array) => void

/**
 * What a replica tells of commands that were not sampled, once a client has heard that replicas disagree about them: a notice names them, and the last
 * batches are remembered for that. Where the program has registered no tracer, nothing is.
 */
export class Afterwards {
  readonly #hosts: (type: string, member: string) => boolean
  readonly #start: (command: Omit<TracedCommand, "key">, startTime: number) => Started | undefined
  readonly #rate = new Rate(NOTICES_PER_SECOND)
  readonly #early = new Map<Notice, Answer>()
  #recent: RecentExecutions | undefined
  /** The batch that is being executed, or was last. */
  #seq = 0
  #isWatched = false
  #orderedMs = 0
  #startMs = 0

  constructor(
    hosts: (type: string, member: string) => boolean,
    start: (command: Omit<TracedCommand, "key">, startTime: number) => Started | undefined,
  ) {
    this.#hosts = hosts
    this.#start = start
  }

  batchBegins(seq: number, orderedMs: number): void {
    this.#seq = seq
    this.#isWatched = registeredTracer() !== undefined
    if (!this.#isWatched) return
    this.#recent ??= new RecentExecutions()
    this.#orderedMs = orderedMs
    this.#startMs = performance.now()
  }

  batchEnds(outcomes: Uint8Array, count: number): void {
    if (this.#recent === undefined || !this.#isWatched) return
    const [orderedMs, startMs, endMs] = [this.#orderedMs, this.#startMs, performance.now()]
    this.#recent.add(this.#seq, { count, orderedMs, startMs, endMs, outcomes })
    for (const [notice, answer] of this.#early) {
      if (notice.seq > this.#seq) continue
      this.#early.delete(notice)
      this.#tell(notice, answer)
    }
  }

  hear(bytes: Uint8Array, answer: Answer): void {
    if (this.#recent === undefined || !this.#rate.take()) return
    const notice = decodeNotice(bytes)
    if (notice === undefined) return
    if (notice.seq <= this.#seq) return this.#tell(notice, answer)
    if (notice.seq > this.#seq + EXECUTIONS_MAX) return
    this.#early.set(notice, answer)
    for (const oldest of this.#early.keys()) {
      if (this.#early.size <= EARLY_MAX) break
      this.#early.delete(oldest)
    }
  }

  #tell({ client, seq, calls }: Notice, answer: Answer): void {
    const execution = this.#recent?.find(seq)
    if (execution === undefined) return
    const spans = new Map<number, string>()
    const outcomes = outcomesOf(execution)
    for (const { index, type, member, trace: traceparent } of calls) {
      if (index >= execution.count || execution.told.has(index)) continue
      if (!this.#hosts(type, member)) continue
      const { orderedMs, startMs } = execution
      const started = this.#start({ trace: traceparent, type, member, seq, orderedMs }, wallMs(startMs))
      if (started === undefined || !started.process.isRecording()) continue
      execution.told.add(index)
      spans.set(index, started.process.spanContext().spanId)
      end(started, execution, outcomes[index])
    }
    if (spans.size > 0) answer(client, encodeTold({ seq, spans }))
  }
}

/** All commands of a batch have its times. */
function end({ process, apply }: Started, { endMs }: RecentExecution, outcome: Uint8Array | undefined): void {
  const endTime = wallMs(endMs)
  apply.end(endTime)
  if (outcome !== undefined) process.setAttribute(ATTRIBUTES.outputDigest, digest(outcome))
  process.end(endTime)
}

/** None where they are no longer kept. */
function outcomesOf({ outcomes, count }: RecentExecution): ReadonlyArray<Uint8Array> {
  try {
    return outcomes === undefined ? [] : splitOutcomes(outcomes, count)
  } catch (cause) {
    if (cause instanceof Malformed) return [] // nothing that is only told of may stop a replica
    throw cause
  }
}
