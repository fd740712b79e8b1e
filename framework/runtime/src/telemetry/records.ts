import { FifoMap, type GroupName, type Partition } from "@lockstep/core"
import { type Attributes, type Context, logs, ROOT_CONTEXT, SeverityNumber } from "@opentelemetry/api"
import type { Departure, ReignNotice } from "@lockstep/replication"
import type { HostEvent } from "../host.ts"
import type { ClientOutput } from "@lockstep/replication"
import { ATTRIBUTES, EVENTS, SCOPE } from "./names.ts"
import { aboutPlace, type Place } from "./place.ts"

/** Traced calls whose context is remembered, because a vote that differs may come late. */
const CONTEXTS_MAX = 128

/** As a client's protocol tells of it. */
export type Heard = ClientOutput<never> & { readonly _tag: "Dissent" }

/** Log records of dissents, each in the trace of a call that it is about, where that is traced. */
export class Dissents {
  readonly #about: Attributes
  /** Of traced calls, by position: the last ones. */
  readonly #contexts = new FifoMap<Context>()
  #heard: Array<Heard> = []

  constructor({ group, partition }: { readonly group: GroupName; readonly partition: Partition }) {
    this.#about = { [ATTRIBUTES.group]: group, [ATTRIBUTES.partition]: partition }
  }

  /** A traced call was executed at this position. */
  decided(seq: number, context: Context): void {
    this.#contexts.set(seq, context)
    if (this.#contexts.size > CONTEXTS_MAX) this.#contexts.shift()
  }

  heard(dissent: Heard): void {
    this.#heard.push(dissent)
  }

  /** All that was decided together is known: what was heard of it is told. `keep`: tells of a call that was not traced, and yields its context. */
  tell(keep: (dissent: Heard) => Context | undefined): void {
    if (this.#heard.length === 0) return
    const heard = this.#heard
    this.#heard = []
    for (const dissent of heard) {
      const { replica, seq, expected, actual } = dissent
      const kept = keep(dissent)
      logs.getLogger(SCOPE).emit({
        eventName: EVENTS.dissent,
        severityNumber: SeverityNumber.WARN,
        severityText: "WARN",
        body: `${replica} said something else than was decided at ${seq}`,
        attributes: {
          ...this.#about,
          [ATTRIBUTES.replica]: replica,
          [ATTRIBUTES.logSeq]: seq,
          [ATTRIBUTES.outputExpected]: expected,
          [ATTRIBUTES.outputActual]: actual,
        },
        context: this.#contexts.get(seq) ?? kept ?? ROOT_CONTEXT,
      })
    }
  }
}

/** Log records of what an operator of this replica should read. */
export class Records {
  readonly #about: Attributes
  /** Whether this replica is the master, and fewer hold what is acknowledged than the class asks for, as it was told last. */
  #isDegraded = false

  constructor(place: Place) {
    this.#about = aboutPlace(place)
  }

  event(event: HostEvent): void {
    for (const { eventName, severityNumber, body, attributes } of this.#recordsOf(event))
      logs.getLogger(SCOPE).emit({
        eventName,
        severityNumber,
        severityText: SeverityNumber[severityNumber],
        body,
        attributes: { ...this.#about, ...attributes },
        context: ROOT_CONTEXT,
      })
  }

  #recordsOf(event: HostEvent): ReadonlyArray<Told> {
    switch (event.event) {
      case "reign":
        // the master alone tells of it, once: whoever reads the log once more, and all others, do not
        return [
          ...(event.isMaster ? successionOf(event) : []),
          ...this.#degraded(event.isMaster && event.degraded, event),
        ]
      case "in-sync":
        return [...changesOf(event), ...this.#degraded(event.degraded, event)]
      default: // of one replica
        return [recordOf(event) ?? []].flat()
    }
  }

  /** Only what is another than before. One that is the master no more says nothing of that. */
  #degraded(isDegraded: boolean, event: HostEvent & { event: "reign" | "in-sync" }): ReadonlyArray<Told> {
    const wasDegraded = this.#isDegraded
    this.#isDegraded = isDegraded
    if (wasDegraded === isDegraded || (event.event === "reign" && !event.isMaster)) return []
    const { epoch, inSync, acknowledgements } = event
    const attributes = { [ATTRIBUTES.epoch]: epoch, [ATTRIBUTES.inSync]: inSync.length }
    const body = `what is acknowledged is held by ${acknowledgements} backups`
    const { WARN, INFO } = SeverityNumber
    return [
      isDegraded
        ? {
            eventName: EVENTS.degraded,
            severityNumber: WARN,
            body: `${body}: fewer than the class asks for`,
            attributes,
          }
        : {
            eventName: EVENTS.restored,
            severityNumber: INFO,
            body: `${body}, as the class asks for`,
            attributes,
          },
    ]
  }
}

interface Told {
  readonly eventName: string
  readonly severityNumber: SeverityNumber
  readonly body: string
  readonly attributes: Attributes
}

/** What the new master says. */
function successionOf({
  cause,
  master,
  before,
  epoch,
  lossWindow,
}: HostEvent & { event: "reign" }): ReadonlyArray<Told> {
  const { WARN, INFO } = SeverityNumber
  const attributes = {
    [ATTRIBUTES.epoch]: epoch,
    [ATTRIBUTES.masterBefore]: before,
    [ATTRIBUTES.lossWindow]: lossWindow,
  }
  const body = `${master} is the master of epoch ${epoch}`
  switch (cause) {
    case "first":
      return []
    case "hand-over":
      return [
        {
          eventName: EVENTS.handOver,
          severityNumber: INFO,
          body: `${body}: ${before} has handed over`,
          attributes,
        },
      ]
    case "failover": {
      const lost = `up to ${lossWindow} acknowledged positions may be lost`
      return [
        {
          eventName: EVENTS.failover,
          severityNumber: WARN,
          body: `${body}, in place of ${before}: ${lost}`,
          attributes,
        },
      ]
    }
  }
}

/** One record for each backup. */
function changesOf({ epoch, inSync, joined, left }: ReignNotice & { event: "in-sync" }): ReadonlyArray<Told> {
  const { WARN, INFO } = SeverityNumber
  const about = { [ATTRIBUTES.epoch]: epoch, [ATTRIBUTES.inSync]: inSync.length }
  return [
    ...left.map(({ replica, reason }) => ({
      eventName: EVENTS.outOfSync,
      severityNumber: EXPECTED.has(reason) ? INFO : WARN,
      body: `${replica} is in sync no more: ${reason}`,
      attributes: { ...about, [ATTRIBUTES.backup]: replica, [ATTRIBUTES.reason]: reason },
    })),
    ...joined.map((replica) => ({
      eventName: EVENTS.inSync,
      severityNumber: INFO,
      body: `${replica} is in sync`,
      attributes: { ...about, [ATTRIBUTES.backup]: replica },
    })),
  ]
}

/** What somebody meant to be. */
const EXPECTED: ReadonlySet<Departure> = new Set(["leaving", "removed", "hand-over"])

function recordOf(event: HostEvent): Told | undefined {
  const { ERROR, INFO } = SeverityNumber
  switch (event.event) {
    case "rejoining": {
      const eventName = event.reason === "state-diverged" ? EVENTS.diverged : EVENTS.quarantined
      const attributes = { [ATTRIBUTES.reason]: event.reason, [ATTRIBUTES.logSeq]: event.applied }
      return { eventName, severityNumber: ERROR, body: event.detail, attributes }
    }
    case "trusted":
      return {
        eventName: EVENTS.trusted,
        severityNumber: INFO,
        body: "f+1 others attest what it computes: it votes again",
        attributes: {},
      }
    case "log-suspect":
    case "halted":
      return {
        eventName: event.event === "halted" ? EVENTS.halted : EVENTS.logIntegrity,
        severityNumber: ERROR,
        body: event.detail,
        attributes: { [ATTRIBUTES.reason]: event.reason, [ATTRIBUTES.logSeq]: event.applied },
      }
    default:
      return undefined // the rest is in the replica's own log, and counted
  }
}
