import { type Attributes, ROOT_CONTEXT, SpanKind, trace } from "@opentelemetry/api"
import type { HostEvent } from "../host.ts"
import { ATTRIBUTES, SCOPE, SPANS } from "./names.ts"
import { aboutPlace, type Place } from "./place.ts"

/** One span for each failover, by the new master: from when it last heard of a master until it serves. */
export class Failovers {
  readonly #about: Attributes

  constructor(place: Place) {
    this.#about = aboutPlace(place)
  }

  event(event: HostEvent): void {
    if (event.event !== "serves" || event.cause !== "failover") return
    const { epoch, before, lossWindow, silentMs } = event
    const attributes: Attributes = {
      ...this.#about,
      [ATTRIBUTES.epoch]: epoch,
      [ATTRIBUTES.masterBefore]: before,
      [ATTRIBUTES.lossWindow]: lossWindow,
    }
    const startTime = Date.now() - silentMs
    const options = { kind: SpanKind.INTERNAL, startTime, attributes }
    trace.getTracer(SCOPE).startSpan(SPANS.failover, options, ROOT_CONTEXT).end()
  }
}
