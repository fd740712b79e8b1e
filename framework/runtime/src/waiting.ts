import { type Call, decodeResult } from "@lockstep/actor"
import {
  ActorError,
  type Canonical,
  InvalidArgument,
  type LockstepError,
  type Outcome,
  SessionExpired,
  type Slice,
} from "@lockstep/core"
import type { Reads, Submission } from "@lockstep/replication"
import type { Context } from "@opentelemetry/api"
import type { WatchedCall } from "./telemetry/calls.ts"
import type { OverlookedCalls } from "./telemetry/unsampled.ts"

/** A call, and what it may miss where it is a query. */
export interface LaneCall extends Call {
  readonly reads?: Reads
}

/** The turn of the event loop in which calls were made: one object for all of them. */
export interface Turn {
  readonly startMs: number
  /** Those that are not sampled, where there are any. */
  overlooked: OverlookedCalls | undefined
}

/** A call that somebody waits for: one object, from where it is made to where it is settled. (A thousand wait at a time: what they take in memory shows.) */
export class Waiting implements Submission {
  readonly call: LaneCall
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  /** Where it was made. */
  readonly parent: Context
  /** Undefined where it was measured before. */
  readonly turn: Turn | undefined
  /** Among the calls of that turn. */
  readonly place: number
  /** Where it is traced. */
  span: WatchedCall | undefined

  constructor(
    call: LaneCall,
    caller: Pick<Waiting, "resolve" | "reject">,
    made: Pick<Waiting, "parent" | "turn" | "place">,
  ) {
    this.call = call
    this.resolve = caller.resolve
    this.reject = caller.reject
    this.parent = made.parent
    this.turn = made.turn
    this.place = made.place
    this.span = undefined
  }

  /** When it was made. */
  get sinceMs(): number | undefined {
    return this.turn?.startMs
  }

  get type(): string {
    return this.call.definition.type
  }

  get member(): string {
    return this.call.member.name
  }

  get key(): string {
    return this.call.key
  }

  get args(): Slice {
    return this.call.args
  }

  get trace(): string | undefined {
    return this.span?.travels
  }

  get reads(): Reads | undefined {
    return this.call.reads
  }

  settle(outcome: Outcome): void {
    switch (outcome._tag) {
      case "Returned":
        return this.#return(outcome.value)
      case "Threw":
        return this.reject(
          new ActorError({
            code: outcome.code,
            data: outcome.data,
            message: `${target(this.call)} refused: ${outcome.code}`,
          }),
        )
      case "Refused":
        return this.reject(refusal(this.call, outcome))
    }
  }

  #return(value: Canonical): void {
    const { definition, member } = this.call
    try {
      this.resolve(decodeResult(definition, member, value))
    } catch (cause) {
      this.reject(cause)
    }
  }
}

function refusal(call: Call, { reason, detail }: Outcome & { _tag: "Refused" }): LockstepError {
  switch (reason) {
    case "UnknownActor":
    case "UnknownMethod":
    case "InvalidArgument":
      return new InvalidArgument(target(call), detail)
    case "SessionExpired":
    case "NumberReused":
      return new SessionExpired(target(call))
    case "ResultUnsupported":
    case "ResultTooLarge":
    case "StateUnsupported":
    case "QueryChangedState":
    case "Nondeterminism":
    case "AsyncCommand":
      return new ActorError({ code: reason, data: detail, message: `${target(call)}: ${reason}: ${detail}` })
  }
}

function target(call: Call): string {
  return `${call.definition.type}(${JSON.stringify(call.key)}).${call.member.name}`
}
