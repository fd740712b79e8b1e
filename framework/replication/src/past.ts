import { type Digest, type Entry, extend, genesis } from "@lockstep/core"
import type { HaltReport, ReplicaInput } from "./mode.ts"
import { Overlap } from "./overlap.ts"

/** What an entry of the log is to a replica. */
export type Continuation =
  /** The next one: it is in the chain now, and is to be executed. */
  | "next"
  /** The last one once more, unchanged. */
  | "again"
  /** The log has moved on without this replica: ask it what it holds. */
  | "reattach"
  | Broken

/** How the log breaks its promise. */
export interface Broken {
  readonly reason: HaltReport["reason"]
  readonly detail: string
}

/** How far a log was read, and what came of it: enough to go on from there. */
export interface ReadUpTo {
  readonly seq: number
  readonly chain: Digest
  readonly chainBefore: Digest
  /** Replicated time. */
  readonly timeNs: bigint
}

/** What a replica has read of the log: up to where, and the chain of it. It goes on only where the log continues that. */
export class Past {
  #seq = 0
  #chain: Digest
  /** The chain before the last entry: what it must still extend to when it comes once more. */
  #chainBefore: Digest
  #timeNs = 0n
  readonly #overlap = new Overlap()
  /** Where the log ended when it was attached to. */
  #lastSeq = 0
  /** The log broke its promise, and was not seen whole since. */
  #isSuspect = false

  constructor(logId: string) {
    this.#chain = this.#chainBefore = genesis(logId)
  }

  /** The last position; 0 before the first. */
  get seq(): number {
    return this.#seq
  }

  get chain(): Digest {
    return this.#chain
  }

  /** Replicated time: it never goes back, whatever the clocks of the log do. */
  get timeNs(): bigint {
    return this.#timeNs
  }

  /** What a checkpoint says of it. */
  get position(): ReadUpTo {
    return {
      seq: this.#seq,
      chain: this.#chain,
      chainBefore: this.#chainBefore,
      timeNs: this.#timeNs,
    }
  }

  /** Begins where a checkpoint was taken. */
  restore({ seq, chain, chainBefore, timeNs }: ReadUpTo): void {
    this.#seq = seq
    this.#chain = chain
    this.#chainBefore = chainBefore
    this.#timeNs = timeNs
  }

  attached(log: ReplicaInput & { readonly _tag: "Attached" }): void {
    this.#lastSeq = log.lastSeq
    this.#overlap.attached(log, this.#seq)
  }

  /** The log breaks its promise. Whether another server, judged by itself, may still show it whole: not where one after the other does not. */
  suspect(): boolean {
    if (this.#isSuspect) return false
    this.#isSuspect = true
    this.#overlap.forget()
    return true
  }

  /** Checks that the entry continues the past, and takes it in. */
  follow(entry: Entry): Continuation {
    if (entry.seq === this.#seq && this.#overlap.isAwaited) {
      if (extend(this.#chainBefore, entry) !== this.#chain)
        return { reason: "log-rewritten", detail: `entry ${entry.seq} is no longer what was executed` }
      this.#overlap.arrived()
      if (this.#seq >= this.#lastSeq) this.#isSuspect = false // that is all there is
      return "again"
    }
    if (entry.seq !== this.#seq + 1 || this.#overlap.isAwaited) {
      if (entry.seq > this.#seq && this.#overlap.skipped(this.#seq) === "reattach") return "reattach"
      const reason = entry.seq > this.#seq ? "log-gap" : "log-regression"
      return { reason, detail: `entry ${entry.seq} came after entry ${this.#seq}` }
    }
    this.#isSuspect = false
    this.#chainBefore = this.#chain
    this.#chain = extend(this.#chain, entry)
    this.#seq = entry.seq
    this.#timeNs = entry.timeNs > this.#timeNs ? entry.timeNs : this.#timeNs + 1n
    return "next"
  }

  tick(nowMs: number): "wait" | "reattach" | Broken {
    const standing = this.#overlap.tick(nowMs)
    return standing === "lost"
      ? { reason: "log-lost-tail", detail: `the log no longer holds entry ${this.#seq}, which was executed` }
      : standing
  }
}
