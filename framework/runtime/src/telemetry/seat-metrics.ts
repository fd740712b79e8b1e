import type { HaltReport, ReignStatus, ReplicaRole, ReplicaStatus } from "@lockstep/replication"
import type { HostEvent } from "../host.ts"
import { observe, type Observe, registeredMeter } from "./instruments.ts"
import { REPLICA_STATES } from "./metrics.ts"
import { ATTRIBUTES } from "./names.ts"
import { aboutPlace, type Place } from "./place.ts"
import { SeatTimes } from "./seat-times.ts"

type About = Readonly<Record<string, string | number>>

/** What is read of a seat. */
interface WatchedSeat {
  readonly status: ReplicaStatus
  readonly live: boolean
  readonly pending: number
  readonly keptBytes: number | undefined
}

/** Metrics of one replica in one partition: what it says of itself anyway, read when somebody collects. */
export class SeatMetrics {
  readonly #about: About
  // all from 0: whoever watches how much one grows would miss the first
  readonly #events: Record<HostEvent["event"], number> = { ...NO_EVENTS }
  readonly #rejoins: Record<HaltReport["reason"], number> = { ...NO_REJOINS }
  /** Undefined where nobody measures. */
  readonly times: SeatTimes | undefined
  #end: (() => void) | undefined

  constructor(place: Place) {
    this.#about = aboutPlace(place)
    this.times = SeatTimes.of(place)
  }

  /** Counts what it hears, and passes it on. */
  hearing(listener: ((event: HostEvent) => void) | undefined): (event: HostEvent) => void {
    return (event) => {
      this.#events[event.event]++
      if (event.event === "rejoining") this.#rejoins[event.reason]++
      listener?.(event)
    }
  }

  /** Does nothing where the program has registered nobody who measures. */
  begin(seat: WatchedSeat): void {
    const meter = registeredMeter()
    if (meter !== undefined) this.#end = observe(meter, (tell) => this.#tell(tell, seat))
  }

  end(): void {
    this.#end?.()
    this.#end = undefined
  }

  #tell(tell: Observe, seat: WatchedSeat): void {
    const { status } = seat
    const about = this.#about
    tell("applied", status.applied, about)
    tell("executed", status.executed, about)
    tell("repeated", status.repeated, about)
    tell("malformed", status.malformed, about)
    tell("actors", status.actors, about)
    tell("resident", status.resident, about)
    tell("sessions", status.sessions, about)
    tell("checkpointStable", status.stable, about)
    tell("checkpointDurable", status.durable, about)
    tell("pending", seat.pending, about)
    this.#tellKept(tell, seat.keptBytes)
    const state = stateOf(seat)
    for (const each of REPLICA_STATES)
      tell("state", each === state ? 1 : 0, { ...about, [ATTRIBUTES.state]: each })
    for (const role of ROLES)
      tell("role", role === status.role ? 1 : 0, { ...about, [ATTRIBUTES.role]: role })
    for (const [event, count] of Object.entries(this.#events))
      tell("events", count, { ...about, [ATTRIBUTES.event]: event })
    for (const [reason, count] of Object.entries(this.#rejoins))
      tell("rejoins", count, { ...about, [ATTRIBUTES.reason]: reason })
    if (status.reign !== undefined) tellReign(tell, about, status.reign)
  }

  /** Of what is on its disk. */
  #tellKept(tell: Observe, bytes: number | undefined): void {
    if (bytes === undefined || this.times === undefined) return
    tell("checkpointSize", bytes, this.#about)
    tell("checkpointWritten", this.times.writtenBytes, this.#about)
    tell("checkpointAge", this.times.checkpointAge, this.#about)
  }
}

function tellReign(tell: Observe, about: About, reign: ReignStatus): void {
  tell("reignEpoch", reign.epoch, about)
  tell("reignMaster", reign.isMaster ? 1 : 0, about)
  tell("reignInSync", reign.inSync.length, about)
  tell("reignAcknowledgements", reign.acknowledgements, about)
  tell("reignCommitted", reign.committed, about)
  tell("reignTruncated", reign.truncated, about)
  tell("reignDegraded", reign.degraded ? 1 : 0, about)
  tell("reignDegradedCommands", reign.degradedCommands, about)
  if (reign.margin !== undefined) tell("reignMargin", reign.margin, about)
  tell("reignFailovers", reign.failovers, about)
  tell("reignLossWindow", reign.lossWindow, about)
  for (const [backup, lag] of reign.lag) tell("reignLag", lag, { ...about, [ATTRIBUTES.backup]: backup })
}

/** The worst that is true. */
function stateOf({ status, live }: WatchedSeat): (typeof REPLICA_STATES)[number] {
  if (status.halted !== undefined) return "halted"
  if (!live) return "failed"
  if (status.waits !== undefined) return "waiting"
  if (status.onProbation) return "probation"
  return status.caughtUp ? "following" : "catching-up"
}

export const ROLES: ReadonlyArray<ReplicaRole> = ["voter", "standby", "unlisted"]

/** Every event, so that none is forgotten. */
export const NO_EVENTS: Readonly<Record<HostEvent["event"], number>> = {
  attached: 0,
  "caught-up": 0,
  "log-away": 0,
  halted: 0,
  restored: 0,
  installed: 0,
  membership: 0,
  waits: 0,
  reign: 0,
  "in-sync": 0,
  serves: 0,
  "journal-failed": 0,
  "journal-cut": 0,
  "truncation-failed": 0,
  "log-suspect": 0,
  rejoining: 0,
  trusted: 0,
  "checkpoint-damaged": 0,
  "checkpoint-failed": 0,
  "actor-threw": 0,
  failed: 0,
}

/** Every reason. */
export const NO_REJOINS: Readonly<Record<HaltReport["reason"], number>> = {
  "log-recreated": 0,
  "log-gap": 0,
  "log-regression": 0,
  "log-rewritten": 0,
  "log-lost-tail": 0,
  "log-forked": 0,
  "state-diverged": 0,
  "store-damaged": 0,
  "wrong-build": 0,
}
