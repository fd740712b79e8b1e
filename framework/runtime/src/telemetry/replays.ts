import { type Attributes, ROOT_CONTEXT, SpanKind, trace } from "@opentelemetry/api"
import type { HostEvent } from "../host.ts"
import { ATTRIBUTES, SCOPE, SPANS } from "./names.ts"
import { aboutPlace, type Place } from "./place.ts"

/** One span for all that a replica executes once more when it starts: others have told of each command when it was new. */
export class Replays {
  readonly #about: Attributes
  #startMs: number | undefined
  /** Where its checkpoint stands, if it begins at one. */
  #from = 0

  constructor(place: Place) {
    this.#about = aboutPlace(place)
  }

  event(event: HostEvent): void {
    switch (event.event) {
      case "attached":
        this.#startMs ??= Date.now()
        return
      case "restored":
      case "installed":
        this.#from = event.seq
        return
      case "rejoining":
        this.#from = 0
        this.#startMs = undefined
        return
      case "caught-up":
        return this.#replayed(event.seq, event.executed)
      default: // says nothing of a start
    }
  }

  #replayed(to: number, commands: number): void {
    const startTime = this.#startMs
    this.#startMs = undefined
    if (commands === 0 || startTime === undefined) return
    const attributes = {
      ...this.#about,
      [ATTRIBUTES.replayFrom]: this.#from,
      [ATTRIBUTES.replayTo]: to,
      [ATTRIBUTES.replayCommands]: commands,
    }
    const options = { kind: SpanKind.INTERNAL, startTime, attributes }
    trace.getTracer(SCOPE).startSpan(SPANS.replay, options, ROOT_CONTEXT).end()
  }
}
