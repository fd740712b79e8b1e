import { digest, type Entry, invariant, Malformed, type ReplicaId } from "@lockstep/core"
import {
  answersTo,
  type HaltReport,
  type ReplicaInput,
  type ReplicaOptions,
  type ReplicaOutput,
  type ReplicaProtocol,
  type StagedCheckpoint,
  type TransferAnswer,
  type TransferRequest,
} from "@lockstep/replication"
import type { SimulatedLog } from "./log.ts"
import { SimulatedProcess } from "./process.ts"
import type { SimulatedReplicaOptions } from "./surroundings.ts"

/** As in production: how long a tail is silent before it is made anew. */
const SILENCE_MS_MAX = 1250
const ATTACH_AGAIN_MS = 100

/**
 * A replica process: the production protocol, in a shell that crashes, stands still, is slow, has a clock of its own, and
 * perhaps lies about what the protocol said.
 */
export class SimulatedReplica {
  readonly replica: ReplicaId
  readonly halts: Array<HaltReport> = []
  /** It broke an invariant, and so stopped. */
  failure: Error | undefined
  /** How often it forgot what it knew, because the others knew better. */
  repairs = 0
  /** Where it began to be as good as the others, as far as it is. */
  repairedAtSeq = 0
  /** Checkpoints that it fetched from peers. */
  transfers = 0
  readonly #options: SimulatedReplicaOptions
  readonly #process: SimulatedProcess
  #protocol: ReplicaProtocol | undefined
  #clockRate = 1
  /** Commands that earlier protocols of this replica acknowledged while degraded. */
  #degradedCommands = 0
  #attempt = 0
  #consumer: ReturnType<SimulatedLog["read"]> | undefined
  #heardAtMs = 0

  constructor(options: SimulatedReplicaOptions) {
    this.#options = options
    this.replica = options.replica
    this.#process = new SimulatedProcess(options.schedule, options.replica)
    this.start()
  }

  get protocol(): ReplicaProtocol | undefined {
    return this.#protocol
  }

  get isUp(): boolean {
    return this.#protocol !== undefined && !this.#process.isPaused && this.failure === undefined
  }

  /** Of the life that it is in, where replicas have such names. */
  get incarnation(): string {
    return this.#options.once?.incarnation ?? ""
  }

  /** In all of its lives. */
  get degradedCommands(): number {
    return this.#degradedCommands + (this.#protocol?.status.reign?.degradedCommands ?? 0)
  }

  start(): void {
    if (this.#protocol !== undefined) return
    const { random, drawClockRate } = this.#options
    this.#protocol = this.#restored()
    this.#process.start()
    this.#clockRate = drawClockRate(random)
    this.#reattach()
    this.#tick(this.#process.life)
  }

  /** The protocol with what the disk holds; from the beginning, where that is damaged. */
  #restored(): ReplicaProtocol {
    const { mode, settings, disk } = this.#options
    const kept = settings.checkpointEveryBatches === undefined ? undefined : disk.load()
    // a shard is nothing to begin with
    const isWhole = mode.storage === "copies"
    try {
      return this.#begin(kept && (isWhole ? { restore: kept } : { shardOf: kept.header }))
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
      disk.forgetCheckpoints()
      return this.#begin(undefined)
    }
  }

  /** As in production: what is known is forgotten, and another server is asked. */
  #rejoin(report: HaltReport): void {
    this.halts.push(report)
    this.#options.schedule.note(`${this.replica} rejoins: ${report.reason}`)
    this.repairs++
    this.repairedAtSeq = this.#options.log.entries(this.replica).length
    const { disk } = this.#options
    disk.wipe()
    disk.probation = "open"
    this.#protocol = this.#begin(undefined)
    this.#attachElsewhere()
  }

  #attachElsewhere(): void {
    this.#options.log.moveOn(this.replica)
    this.#reattach()
  }

  #begin(from: Pick<ReplicaOptions, "restore" | "shardOf"> | undefined): ReplicaProtocol {
    const { mode, membership, settings, disk, replica, once } = this.#options
    const definitions = this.#options.definitions()
    this.#degradedCommands = this.degradedCommands
    return mode.replica({
      ...membership,
      ...settings,
      replica,
      definitions,
      shelf: disk,
      ...once?.begin(definitions, from?.restore?.header),
      staged: disk.stage.digests(),
      ...from,
      ...(disk.probation !== undefined && { probation: disk.probation }),
    })
  }

  /** SIGKILL: everything that was neither in the log nor on the disk is gone. */
  crash(): void {
    this.#options.disk.crash()
    this.#degradedCommands = this.degradedCommands
    this.#protocol = undefined
    this.#process.crash()
    this.#attempt++
    this.#consumer?.close()
    this.#consumer = undefined
  }

  /** What arrives waits. */
  pause(): void {
    if (this.#protocol !== undefined) this.#process.pause()
  }

  resume(): void {
    this.#process.resume()
  }

  slowDown(ms: number): void {
    this.#process.slowDown(ms)
  }

  /** A message of a client. */
  message(bytes: Uint8Array): void {
    this.#receive("message", () => this.#step({ _tag: "Message", bytes }))
  }

  /** What a peer told, or somebody under its name. */
  peer(from: string, bytes: Uint8Array): void {
    this.#receive("peer", () => this.#step({ _tag: "Peer", from, bytes }))
  }

  /** An operator wants another master, or that this process ends. */
  wish(input: ReplicaInput & { readonly _tag: "HandOver" | "Leave" }): void {
    this.#receive("a wish", () => this.#step(input))
  }

  readonly #receive = (what: string, happen: () => void): void => this.#process.receive(what, happen)

  #step(input: ReplicaInput): void {
    if (this.#protocol === undefined || this.failure !== undefined) return
    const { liar, once } = this.#options
    try {
      const lies = liar?.isActive() === true
      const outputs = this.#protocol.step(input, this.#nowMs())
      once?.watch(this.#protocol.status.reign)
      this.#check(outputs)
      for (const output of lies ? liar.distort(outputs) : outputs) {
        this.#options.onSaid?.(output)
        this.say(output)
      }
    } catch (cause) {
      this.failure = cause instanceof Error ? cause : new Error(String(cause))
    }
  }

  /** Nothing may follow a halt; and what it says on probation may be wrong. */
  #check(outputs: ReadonlyArray<ReplicaOutput>): void {
    const end = outputs.findIndex(({ _tag }) => _tag === "Halt" || _tag === "Rejoin" || _tag === "Install")
    const rest = end < 0 ? [] : outputs.slice(end + 1)
    invariant(
      rest.every(({ _tag }) => _tag === "Uncaught"),
      "nothing follows a halt",
    )
    // of a group with one master nobody votes, and so nobody is on probation
    if (
      this.#options.once !== undefined ||
      this.#options.disk.probation !== "open" ||
      this.#protocol?.status.onProbation === false
    )
      return
    const speaks = outputs.some(({ _tag }) => _tag === "Send" || _tag === "Attest")
    invariant(!speaks, "a replica on probation neither votes nor attests")
  }

  /** Carries out what the protocol, or a liar in its place, says. */
  say(output: ReplicaOutput): void {
    switch (output._tag) {
      case "Send":
        return this.#options.toClient(this.replica, output.to, output.bytes)
      case "Tell":
        return this.#options.toPeers(this.replica, output.bytes, output.to)
      case "Journal":
        return this.#journal(output)
      case "Trim":
        this.#options.disk.journal.trim(output.below)
        return this.#options.disk.release(output.below)
      case "Execute": {
        const protocol = this.#protocol
        return this.#options.once?.run(output.execution, (executed) => {
          if (protocol === this.#protocol)
            this.#receive("an outcome", () => this.#step({ _tag: "Executed", executed }))
        })
      }
      case "Reign":
        this.#options.once?.chronicle.proclamations.push({ replica: this.replica, report: output.report })
        return this.#options.schedule.note(
          `${this.replica}: ${output.report.master} is the master of epoch ${output.report.epoch}`,
        )
      case "Continue":
        return this.#process.soon("the rest", () => this.#step({ _tag: "Continue" }))
      case "Persist": {
        const { life } = this.#process
        this.#options.onCheckpoint(output.changes.seq, output.changes.state)
        this.#options.once?.chronicle.checkpoint(this.replica, output.changes.seq, output.changes.header)
        return this.#options.disk.write(output.changes, () => {
          if (life === this.#process.life)
            this.#receive("synced", () => this.#step({ _tag: "Persisted", seq: output.changes.seq }))
        })
      }
      case "Attest": {
        const { network, log, once } = this.#options
        once?.succession.said(output.bytes)
        return network.send(this.replica, "log", "attest", "connection", () =>
          log.append(this.replica, `replica.${this.replica}`, output.bytes),
        )
      }
      case "Truncatable":
        // with a journal, checkpoints are at its positions, and not at the log's
        if (this.#options.once === undefined) this.#options.disk.release(output.below)
        return this.#options.onTruncatable(output.below)
      case "Request":
        return this.#options.toPeer(this.replica, output.to, output.request)
      case "Stage":
        return this.#options.disk.stage.add(output.bucket)
      case "Install":
        return this.#install(output.checkpoint)
      case "Membership":
        return this.#options.schedule.note(`${this.replica} is ${output.role} in ${output.roster.epoch}`)
      case "Waits":
        return this.#options.schedule.note(`${this.replica} waits: ${output.detail}`)
      case "Reattach":
        if (output.complaint === undefined) return this.#reattach()
        this.halts.push(output.complaint)
        return this.#attachElsewhere()
      case "Trusted":
        this.#options.disk.probation = "passed" // until the process ends; that is near enough
        return
      case "Rejoin":
        return this.#rejoin(output.report)
      case "Halt":
        this.halts.push(output.report)
        this.#options.schedule.note(`${this.replica} halts: ${output.report.reason}`)
        this.#attempt++
        this.#consumer?.close()
        this.#consumer = undefined
        return
      case "Notice":
      case "Uncaught":
        return
    }
  }

  #journal(output: ReplicaOutput & { readonly _tag: "Journal" }): void {
    const { disk, once } = this.#options
    const { life } = this.#process
    once?.chronicle.writes(this.replica, output.from, output.records)
    disk.journal.write(output, (write) => {
      if (life === this.#process.life)
        this.#receive("the journal", () => this.#step({ _tag: "Journaled", write }))
    })
  }

  #nowMs(): number {
    return this.#options.schedule.nowMs * this.#clockRate
  }

  #tick(life: number): void {
    const { schedule, network, mode } = this.#options
    schedule.after(mode.tickMs, `${this.replica} tick`, () => {
      if (life !== this.#process.life) return
      if (!this.#process.isPaused) {
        if (this.#consumer !== undefined && !network.isCut("log", this.replica))
          this.#heardAtMs = Math.max(this.#heardAtMs, this.#consumer.heardAtMs())
        this.#step({ _tag: "Tick", nowMs: this.#nowMs() })
        if (this.#consumer !== undefined && schedule.nowMs - this.#heardAtMs > SILENCE_MS_MAX)
          this.#reattach()
      }
      this.#tick(life)
    })
  }

  /** A peer asks for a checkpoint on this disk. */
  serve(request: TransferRequest): ReadonlyArray<TransferAnswer> {
    if (!this.isUp) return []
    const { disk, liar } = this.#options
    const answers = [...answersTo(liar?.show(disk) ?? disk, request)]
    return liar?.distortAnswers(answers) ?? answers
  }

  /** What a peer answers. */
  answer(from: ReplicaId, answer: TransferAnswer): void {
    this.#receive("answer", () => this.#step({ _tag: "Answer", from, answer }))
  }

  #install(checkpoint: StagedCheckpoint): void {
    const { disk, schedule } = this.#options
    schedule.note(`${this.replica} installs a checkpoint`)
    this.transfers++
    this.repairedAtSeq = this.#options.log.entries(this.replica).length
    this.#options.onCheckpoint(checkpoint.seq, digest(checkpoint.header))
    const { header } = checkpoint
    const isWhole = this.#options.mode.storage === "copies"
    // what is in it does not follow upon the new checkpoint
    disk.journal.empty()
    if (isWhole) disk.install(checkpoint)
    const restore = isWhole ? disk.load() : { header, rows: disk.stage.take(checkpoint) }
    try {
      this.#protocol = this.#begin(restore && { restore })
    } catch (cause) {
      // what was fetched was checked, piece by piece: it cannot be damaged
      this.failure = cause instanceof Error ? cause : new Error(String(cause))
      return
    }
    this.#reattach()
  }

  /** As the production tail does: ask what the log holds, tell the protocol, then read from where it says. */
  #reattach(): void {
    const { schedule, network, log, replica } = this.#options
    this.#consumer?.close()
    this.#consumer = undefined
    const attempt = ++this.#attempt
    const current = (happen: () => void) => (): void => {
      if (attempt === this.#attempt) this.#receive("attach", happen)
    }
    const again = current(() => this.#reattach())
    if (log.isAway || network.isCut(replica, "log") || network.isCut("log", replica)) {
      schedule.after(ATTACH_AGAIN_MS, `${replica} attaches again`, again)
      return
    }
    schedule.after(
      2 * network.delayMs(),
      `${replica} attaches`,
      current(() => {
        const copied = this.#options.copied()
        this.#step({ _tag: "Attached", ...log.state(replica, true), ...copied, nowMs: this.#nowMs() })
        if (attempt !== this.#attempt) return
        this.#heardAtMs = schedule.nowMs
        // until it reads, the log goes on, and may be truncated
        const read = current(() => this.#read(attempt))
        schedule.after(2 * network.delayMs(), `${replica} reads`, read)
      }),
    )
  }

  #read(attempt: number): void {
    const { schedule, log, replica } = this.#options
    if (this.#protocol === undefined) return
    this.#heardAtMs = schedule.nowMs
    this.#consumer = log.read(replica, this.#protocol.status.from, (entries) => {
      if (attempt === this.#attempt) this.#receive("entries", () => this.#follow(attempt, entries))
    })
  }

  #follow(attempt: number, entries: ReadonlyArray<Entry>): void {
    if (attempt !== this.#attempt) return
    this.#heardAtMs = this.#options.schedule.nowMs
    // sometimes all at once, as production gives them; sometimes one by one, so that each position can be compared
    const pieces = this.#options.random.chance(0.3) ? [entries] : entries.map((entry) => [entry])
    for (const piece of pieces) {
      this.#step({ _tag: "Entries", entries: piece })
      const status = this.#protocol?.status
      if (status === undefined || status.halted !== undefined || attempt !== this.#attempt) return
      this.#options.onExecuted(this.replica, status)
    }
  }
}
