import { Diverged, type GroupName, type LockstepError, NoQuorum, type Partition } from "@lockstep/core"
import type { ReplicationMode } from "@lockstep/replication"
import { type Attributes, type Context, logs, ROOT_CONTEXT, SeverityNumber } from "@opentelemetry/api"
import { ATTRIBUTES, EVENTS, SCOPE } from "./names.ts"

/** Log records of calls that too few equal votes came for: each in its trace; of those that are not traced, one for all that end together. */
export class NoQuorums {
  readonly #about: Attributes
  /** A call of which somebody votes, or nobody does. */
  readonly #isVoted: boolean
  /** The last one that ended so, and is not traced. */
  #untraced: NoQuorum | Diverged | undefined

  constructor(lane: {
    readonly mode: ReplicationMode
    readonly group: GroupName
    readonly partition: Partition
  }) {
    this.#about = { [ATTRIBUTES.group]: lane.group, [ATTRIBUTES.partition]: lane.partition }
    this.#isVoted = lane.mode.execution === "everywhere"
  }

  failed(error: LockstepError, context: Context | undefined): void {
    if (!this.#isVoted || !(error instanceof NoQuorum || error instanceof Diverged)) return
    if (context === undefined) this.#untraced = error
    else this.#emit(error, context)
  }

  /** All that ended together is known. */
  tell(): void {
    if (this.#untraced === undefined) return
    const error = this.#untraced
    this.#untraced = undefined
    this.#emit(error, ROOT_CONTEXT)
  }

  #emit(error: NoQuorum | Diverged, context: Context): void {
    const { needed, testimonies, missing, message: body } = error
    const counts = new Map<string, number>()
    for (const { seq, digest } of testimonies)
      counts.set(`${seq} ${digest}`, (counts.get(`${seq} ${digest}`) ?? 0) + 1)
    const match = Math.max(0, ...counts.values())
    const seq = positionOf(error)
    const severity = error instanceof NoQuorum ? SeverityNumber.WARN : SeverityNumber.ERROR
    logs.getLogger(SCOPE).emit({
      eventName: EVENTS.noQuorum,
      severityNumber: severity,
      severityText: SeverityNumber[severity],
      body,
      attributes: {
        ...this.#about,
        [ATTRIBUTES.errorType]: error._tag,
        [ATTRIBUTES.quorumRequired]: needed,
        [ATTRIBUTES.votesMatch]: match,
        [ATTRIBUTES.votesDissent]: testimonies.length - match,
        [ATTRIBUTES.votesMissing]: missing.length,
        ...(seq !== undefined && { [ATTRIBUTES.logSeq]: seq }),
      },
      context,
    })
  }
}

/** Where the command stands in the log, as far as anybody has said. */
export function positionOf(error: NoQuorum | Diverged): number | undefined {
  return error instanceof NoQuorum ? error.seq : error.testimonies[0]?.seq
}
