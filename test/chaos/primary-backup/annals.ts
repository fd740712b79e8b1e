import type { LogLine } from "@lockstep/replica-service/process"
import type { Check } from "../verdict.ts"
import { EXECUTED } from "./actors.ts"

/** A primary's time, as replicas told it. */
export interface Reign {
  readonly epoch: number
  readonly master: string
  /** The last position that it held when it was elected. */
  readonly position: number
  /** How many acknowledged positions may have been lost when it was elected, at most. */
  readonly lossWindow: number
}

/** Where an entry was executed: the how-manieth execution of the reign that the replica knew of. */
export interface Execution {
  readonly epoch: number
  readonly serial: number
}

/** What replicas' logs say of primaries, and of what those executed. */
export class Annals {
  readonly #reigns = new Map<number, Reign>()
  /** By entry; more than one where a call was asked for again. */
  readonly executions = new Map<number, ReadonlyArray<Execution>>()
  readonly #contradictions: Array<string> = []
  readonly #impostors: Array<string> = []
  #executed = 0

  /** Lines by replica, in their order, over all its lives. */
  constructor(logs: ReadonlyMap<string, ReadonlyArray<LogLine>>) {
    for (const [replica, lines] of logs) this.#read(replica, lines)
  }

  /** Ascending. */
  get reigns(): ReadonlyArray<Reign> {
    return [...this.#reigns.values()].toSorted((a, b) => a.epoch - b.epoch)
  }

  /** Nobody tells another story of an epoch, and only its primary executes. */
  onePrimaryEach(): Check {
    return {
      rule: "each epoch has one primary, and only that executes",
      judged: `${this.#reigns.size} epochs, ${this.#executed} executions`,
      broken: [...this.#contradictions, ...this.#impostors.slice(0, 10)],
    }
  }

  #read(replica: string, lines: ReadonlyArray<LogLine>): void {
    let reign: Reign | undefined
    let serial = 0
    for (const line of lines) {
      if (line.event === "reign") {
        const next = reignOf(line)
        if (next === undefined) continue
        reign = next
        serial = 0
        this.#tell(replica, next)
      } else if (line.event === EXECUTED) {
        this.#executed++
        const item = Number(line["item"])
        if (reign?.master !== replica)
          this.#impostors.push(
            `${replica} executed ${item} while ${reign?.master ?? "nobody"} was the primary`,
          )
        const before = this.executions.get(item) ?? []
        this.executions.set(item, [...before, { epoch: reign?.epoch ?? 0, serial: ++serial }])
      }
    }
  }

  #tell(replica: string, reign: Reign): void {
    const known = this.#reigns.get(reign.epoch)
    if (known === undefined) this.#reigns.set(reign.epoch, reign)
    else if (JSON.stringify(known) !== JSON.stringify(reign))
      this.#contradictions.push(
        `${replica} says ${JSON.stringify(reign)}, another one ${JSON.stringify(known)}`,
      )
  }
}

function reignOf(line: LogLine): Reign | undefined {
  const { epoch, master, position, lossWindow } = line
  if (typeof master !== "string") return undefined
  return { epoch: Number(epoch), master, position: Number(position), lossWindow: Number(lossWindow) }
}
