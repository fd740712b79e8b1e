import type { GroupName, Partition } from "@lockstep/core"
import { type Attributes, type Context, logs, ROOT_CONTEXT, SeverityNumber } from "@opentelemetry/api"
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
  readonly #contexts = new Map<number, Context>()
  #heard: Array<Heard> = []

  constructor({ group, partition }: { readonly group: GroupName; readonly partition: Partition }) {
    this.#about = { [ATTRIBUTES.group]: group, [ATTRIBUTES.partition]: partition }
  }

  /** A traced call was executed at this position. */
  decided(seq: number, context: Context): void {
    this.#contexts.set(seq, context)
    if (this.#contexts.size <= CONTEXTS_MAX) return
    for (const oldest of this.#contexts.keys()) {
      this.#contexts.delete(oldest)
      return
    }
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

  constructor(place: Place) {
    this.#about = aboutPlace(place)
  }

  event(event: HostEvent): void {
    const told = recordOf(event)
    if (told === undefined) return
    const { eventName, severityNumber, body, attributes } = told
    logs.getLogger(SCOPE).emit({
      eventName,
      severityNumber,
      severityText: SeverityNumber[severityNumber],
      body,
      attributes: { ...this.#about, ...attributes },
      context: ROOT_CONTEXT,
    })
  }
}

interface Told {
  readonly eventName: string
  readonly severityNumber: SeverityNumber
  readonly body: string
  readonly attributes: Attributes
}

function recordOf(event: HostEvent): Told | undefined {
  const { WARN, ERROR, INFO } = SeverityNumber
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
    case "reign":
      return {
        eventName: EVENTS.reign,
        severityNumber: event.lossWindow > 0 || event.degraded ? WARN : INFO,
        body: `${event.master ?? "nobody"} is the master of epoch ${event.epoch}; up to ${event.lossWindow} acknowledged positions may be lost`,
        attributes: { [ATTRIBUTES.epoch]: event.epoch, [ATTRIBUTES.lossWindow]: event.lossWindow },
      }
    default:
      return undefined // the rest is in the replica's own log, and counted
  }
}
