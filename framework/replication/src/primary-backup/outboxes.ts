import type { ClientLimits } from "../limits.ts"
import type { Reads, Submission } from "../mode.ts"
import { type Draft, Outbox } from "../outbox.ts"

/** What is not sent yet: commands, and queries by what they may miss, because they go to different replicas. */
export class Outboxes<Call extends Submission> {
  readonly commands: Outbox<Call>
  readonly #limits: ClientLimits
  readonly #queries = new Map<string, { readonly reads: Reads; readonly outbox: Outbox<Call> }>()

  constructor(limits: ClientLimits) {
    this.#limits = limits
    this.commands = new Outbox(limits)
  }

  get queries(): Iterable<{ readonly reads: Reads; readonly outbox: Outbox<Call> }> {
    return this.#queries.values()
  }

  get isEmpty(): boolean {
    return this.#all.every(({ isEmpty }) => isEmpty)
  }

  get counts(): { readonly waiting: number; readonly unsent: number } {
    let [waiting, unsent] = [0, 0]
    for (const { counts } of this.#all) {
      waiting += counts.waiting
      unsent += counts.unsent
    }
    return { waiting, unsent }
  }

  /** Where a call goes: a query says what it may miss. */
  for(reads: Reads | undefined): Outbox<Call> {
    if (reads === undefined) return this.commands
    const id = reads === "linearizable" ? reads : String(reads.maxStalenessMs)
    let queries = this.#queries.get(id)
    if (queries === undefined) this.#queries.set(id, (queries = { reads, outbox: new Outbox(this.#limits) }))
    return queries.outbox
  }

  /** Takes out what is too late; without a time, everything. */
  drop(nowMs?: number): ReadonlyArray<Draft<Call>> {
    return this.#all.flatMap((outbox) => (nowMs === undefined ? outbox.drop() : outbox.expired(nowMs)))
  }

  get #all(): ReadonlyArray<Outbox<Call>> {
    return [this.commands, ...[...this.#queries.values()].map(({ outbox }) => outbox)]
  }
}
