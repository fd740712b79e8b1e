import { type ActorDefinition, define } from "@lockstep/actor"
import {
  Diverged,
  encodeShared,
  type Effect,
  type LockstepError,
  NoQuorum,
  OutcomeUnknown,
} from "@lockstep/core"
import type { Reads } from "@lockstep/replication"
import type { Command, Settlement, SimulatedClient } from "./client.ts"
import type { Random } from "./random.ts"
import type { Output } from "./reference.ts"
import type { Schedule } from "./schedule.ts"
import type { Workload, WorkloadCall } from "./workload.ts"

/** A call, and what its caller learned of it. */
export interface CallRecord {
  readonly id: string
  readonly caller: string
  /** The life of the client that made it. */
  readonly client: string
  readonly call: WorkloadCall
  /** Of a query, where replicas may be asked for less than everything. */
  readonly reads: Reads | undefined
  readonly calledAtMs: number
  returnedAtMs: number | undefined
  output: Output | undefined
  /** Where it was executed, as the client was told. */
  seq: number | undefined
  /** Every error that the caller was told, retries included. */
  readonly errors: Array<LockstepError>
  /** Whether it may have taken effect, as far as the caller knows. */
  tookEffect: Effect
}

export interface CallerOptions {
  readonly name: string
  readonly client: SimulatedClient
  readonly workload: Workload
  readonly schedule: Schedule
  readonly random: Random
  /** Pause between two calls, on average. */
  readonly thinkMs: number
  /** It asks queries only: nothing that it waits for tells it that there is another master. */
  readonly onlyReads: boolean
  /** Queries say what they may miss. */
  readonly hasReads: boolean
  /** What this caller's queries may miss; 0: nothing. */
  readonly maxStalenessMs: number
  readonly onRecord: (record: CallRecord) => void
}

/** One thread of a client: it makes one call after another, and sometimes tries an undecided one again. */
export class Caller {
  readonly #options: CallerOptions
  readonly #definition: ActorDefinition
  #count = 0
  #hurried = false
  #left = Number.POSITIVE_INFINITY
  #stopped = false
  #waiting = false

  constructor(options: CallerOptions) {
    this.#options = options
    this.#definition = define(options.workload.actorClass)
  }

  get name(): string {
    return this.#options.name
  }

  /** It has made the calls that it was to make. */
  get isDone(): boolean {
    return this.#left <= 0
  }

  start(): void {
    this.#think(false)
  }

  /** No more pauses; done after this many calls are answered. */
  hurry(calls: number): void {
    this.#hurried = true
    this.#left = calls
    if (!this.#waiting) this.#call()
  }

  /** The call that is open is the last. */
  stop(): void {
    this.#stopped = true
  }

  #think(refused: boolean): void {
    const { schedule, random, thinkMs, name } = this.#options
    // now and then several calls come at once, so that batches meet; one that was refused is not followed at once
    const pauseMs = refused
      ? 1000
      : this.#hurried || random.chance(0.3)
        ? 1
        : random.exponential(thinkMs * 1.4)
    const hurried = this.#hurried
    schedule.after(pauseMs, `${name} calls`, () => {
      if (hurried === this.#hurried) this.#call()
    })
  }

  #call(): void {
    if (this.#stopped || this.isDone) return
    const { client, schedule, name, onRecord } = this.#options
    const call = this.#next()
    const id = `${name}/${this.#count++}`
    const reads = this.#readsOf(call)
    const command: Command = {
      id,
      type: this.#definition.type,
      ...call,
      args: encodeShared(call.args),
      reads,
    }
    const record: CallRecord = {
      id,
      caller: name,
      client: client.id,
      call,
      reads,
      calledAtMs: schedule.nowMs,
      returnedAtMs: undefined,
      output: undefined,
      seq: undefined,
      errors: [],
      tookEffect: "unknown",
    }
    onRecord(record)
    this.#waiting = true
    client.invoke(command, (settlement) => this.#settled(record, command, settlement))
  }

  #next(): WorkloadCall {
    const { workload, random, onlyReads } = this.#options
    let call = workload.next(random)
    if (!onlyReads) return call
    for (let tries = 0; tries < TRIES_MAX && !this.#isQuery(call); tries++) call = workload.next(random)
    return call
  }

  #isQuery({ member }: WorkloadCall): boolean {
    return this.#definition.members.get(member)?.kind === "query"
  }

  #readsOf(call: WorkloadCall): Reads | undefined {
    const { hasReads, maxStalenessMs } = this.#options
    if (!hasReads || !this.#isQuery(call)) return undefined
    return maxStalenessMs > 0 ? { maxStalenessMs } : "linearizable"
  }

  #settled(record: CallRecord, command: Command, settlement: Settlement): void {
    const { client, schedule, random, name } = this.#options
    if (settlement._tag === "Failed") {
      const { error } = settlement
      record.errors.push(error)
      record.tookEffect = error.tookEffect
      const number = isUndecided(error) ? error.command?.number : undefined
      if (number !== undefined && !this.#stopped && record.errors.length < 20 && random.chance(0.8)) {
        const { id } = client
        schedule.after(random.exponential(500), `${name} retries`, () => {
          // another process knows nothing of this command
          if (client.id !== id) this.#settled(record, command, { _tag: "Abandoned" })
          else client.retry(number, command, (again) => this.#settled(record, command, again))
        })
        return
      }
    }
    this.#waiting = false
    if (settlement._tag === "Settled") {
      record.returnedAtMs = schedule.nowMs
      record.seq = settlement.seq
      record.tookEffect = "yes"
      record.output =
        settlement.outcome._tag === "Returned"
          ? { returned: settlement.outcome.value }
          : settlement.outcome._tag === "Threw"
            ? { threw: settlement.outcome.code, data: settlement.outcome.data }
            : { threw: `refused: ${settlement.outcome.reason}: ${settlement.outcome.detail}` }
      this.#left--
    }
    this.#think(settlement._tag === "Failed")
  }
}

/** A workload that has hardly a query is not searched for one for ever. */
const TRIES_MAX = 50

function isUndecided(error: LockstepError): error is NoQuorum | OutcomeUnknown | Diverged {
  return error instanceof NoQuorum || error instanceof OutcomeUnknown || error instanceof Diverged
}
