import {
  ClientId,
  type LockstepError,
  type Outcome,
  type ReplicaId,
  type Roster,
  type Slice,
} from "@lockstep/core"
import type {
  ClientInput,
  ClientLimits,
  ClientOutput,
  ClientProtocol,
  Membership,
  Reads,
  ReplicationMode,
  Submission,
} from "@lockstep/replication"
import type { SimulatedLog } from "./log.ts"
import { traceOf } from "./naming.ts"
import type { Network } from "./network.ts"
import type { Random } from "./random.ts"
import type { Schedule } from "./schedule.ts"

/** As in production: how often time is told while anything waits. */
const TICK_MS = 20

/** One command of one caller. Its id travels in the envelope, in the place of a trace. */
export interface Command {
  readonly id: string
  readonly type: string
  readonly member: string
  readonly key: string
  readonly args: Slice
  /** What it may miss, where that can be said of it. */
  readonly reads?: Reads | undefined
}

/** What came of a command. */
export type Settlement =
  | { readonly _tag: "Settled"; readonly outcome: Outcome; readonly seq: number }
  | { readonly _tag: "Failed"; readonly error: LockstepError }
  /** The process that waited for it is gone. */
  | { readonly _tag: "Abandoned" }

export interface SimulatedClientOptions {
  readonly name: string
  readonly mode: ReplicationMode
  readonly membership: Membership
  readonly limits: ClientLimits
  readonly schedule: Schedule
  readonly network: Network
  readonly log: SimulatedLog
  readonly random: Random
  readonly toReplica: (from: string, replica: ReplicaId, bytes: Uint8Array) => void
  /** Whether the process is there, as the server knows it. */
  readonly isListening: (replica: ReplicaId) => boolean
  readonly copiedRoster: () => Roster
  readonly onDissent: (replica: ReplicaId) => void
}

interface Waiting extends Submission {
  readonly command: Command
  readonly settle: (settlement: Settlement) => void
}

/** A client process: the production protocol, in a shell that can crash and has a clock of its own. */
export class SimulatedClient {
  readonly #options: SimulatedClientOptions
  readonly #waiting = new Set<Waiting>()
  #protocol: ClientProtocol<Waiting>
  #id: ClientId
  #life = 0
  #flushing = false
  #ticking = false
  #clockRate = 1

  constructor(options: SimulatedClientOptions) {
    this.#options = options
    this.#id = this.#newId()
    this.#protocol = this.#newProtocol()
  }

  /** The name that votes are addressed to; another one in each life. */
  get id(): ClientId {
    return this.#id
  }

  get protocol(): ClientProtocol<unknown> {
    return this.#protocol
  }

  invoke(command: Command, settle: Waiting["settle"]): void {
    const waiting = this.#wait(command, settle)
    this.#step({ _tag: "Submit", calls: [waiting], nowMs: this.#nowMs() })
    if (this.#flushing) return
    this.#flushing = true
    this.#later(0, "flushes", () => {
      this.#flushing = false
      this.#step({ _tag: "Flush", nowMs: this.#nowMs() })
    })
  }

  /** Waits again for a command that ended undecided. */
  retry(number: number, command: Command, settle: Waiting["settle"]): void {
    const waiting = this.#wait(command, settle)
    this.#step({ _tag: "Retry", number, call: waiting, nowMs: this.#nowMs() })
  }

  #wait(command: Command, settle: Waiting["settle"]): Waiting {
    const { id, type, member, key, args, reads } = command
    // where one replica executes, nobody votes
    const trace = this.#options.mode.execution === "everywhere" ? traceOf(id) : id
    const waiting = { command, settle, type, member, key, args, trace, reads }
    this.#waiting.add(waiting)
    return waiting
  }

  vote(from: string, bytes: Uint8Array): void {
    this.#step({ _tag: "Vote", from, bytes, nowMs: this.#nowMs() })
  }

  /** The connection was lost and is back. */
  reconnected(): void {
    this.#step({ _tag: "Reconnected", nowMs: this.#nowMs() })
  }

  /** The process dies and another takes its place: whoever waited will never know. */
  crash(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    this.#life++
    this.#flushing = this.#ticking = false
    this.#id = this.#newId()
    this.#protocol = this.#newProtocol()
    for (const { settle } of waiting) settle({ _tag: "Abandoned" })
  }

  #step(input: ClientInput<Waiting>): void {
    for (const output of this.#protocol.step(input)) this.#carryOut(output)
    if (this.#ticking || !this.#protocol.busy) return
    this.#ticking = true
    this.#later(TICK_MS, "ticks", () => {
      this.#ticking = false
      this.#step({ _tag: "Tick", nowMs: this.#nowMs() })
    })
  }

  #carryOut(output: ClientOutput<Waiting>): void {
    switch (output._tag) {
      case "Append":
        return this.#append(output.token, output.bytes)
      case "Ask":
        return this.#ask(output)
      case "Settle":
        for (const [i, call] of output.calls.entries()) {
          const outcome = output.outcomes[i]
          if (call !== undefined && outcome !== undefined)
            this.#settle(call, { _tag: "Settled", outcome, seq: output.seq })
        }
        return undefined
      case "Fail":
        return this.#settle(output.call, { _tag: "Failed", error: output.error })
      case "Refresh":
        return this.#refresh()
      case "Dissent":
        return this.#options.onDissent(output.replica)
      case "Late":
        return undefined
    }
  }

  /** Where nobody listens the server says so, as a rule; then nobody will ever get it. */
  #ask({ replica, bytes, token }: ClientOutput<Waiting> & { readonly _tag: "Ask" }): void {
    const { name, random, network, isListening, toReplica } = this.#options
    if (token === undefined || isListening(replica) || random.chance(0.3))
      return toReplica(name, replica, bytes)
    const life = this.#life
    network.send("log", name, "nobody listens", "datagram", () => {
      if (life === this.#life) this.#step({ _tag: "Unheard", token, nowMs: this.#nowMs() })
    })
  }

  #refresh(): void {
    const { name, network, log, copiedRoster } = this.#options
    const life = this.#life
    network.send(name, "log", "asks who votes", "datagram", () => {
      if (log.isAway) return
      const roster = copiedRoster()
      network.send("log", name, "who votes", "datagram", () => {
        if (life === this.#life) this.#step({ _tag: "Roster", roster, nowMs: this.#nowMs() })
      })
    })
  }

  #append(token: number, bytes: Uint8Array): void {
    const { name, network, log } = this.#options
    const life = this.#life
    const source = `client.${this.#id}`
    // a publish is written to one TCP connection once: the log may lose it, and never sees it twice
    network.send(name, "log", "append", "connection", () => {
      const answer = log.append(name, source, bytes)
      if (answer === undefined) return
      network.send("log", name, "ack", "datagram", () => {
        if (life !== this.#life) return
        if (answer._tag === "Appended") this.#step({ ...answer, token })
        else this.#step({ ...answer, token, nowMs: this.#nowMs() })
      })
    })
  }

  #settle(waiting: Waiting, settlement: Settlement): void {
    if (!this.#waiting.delete(waiting)) throw new Error(`${waiting.command.id} was settled twice`)
    waiting.settle(settlement)
  }

  #later(delayMs: number, what: string, happen: () => void): void {
    const life = this.#life
    this.#options.schedule.after(delayMs, `${this.#options.name} ${what}`, () => {
      if (life === this.#life) happen()
    })
  }

  #nowMs(): number {
    return this.#options.schedule.nowMs * this.#clockRate
  }

  #newId(): ClientId {
    return ClientId(`${this.#options.name}-${this.#life}`)
  }

  #newProtocol(): ClientProtocol<Waiting> {
    const { mode, membership, limits, random } = this.#options
    this.#clockRate = random.pick([0.8, 1, 1, 1.25])
    const roster = this.#options.copiedRoster()
    return mode.client<Waiting>({ ...membership, roster, client: this.#id, limits })
  }
}
