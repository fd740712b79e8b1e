import { Actors } from "@lockstep/actor"
import {
  type Answer,
  type ClientId,
  type Digest,
  decodeAsk,
  type Entry,
  isOfMaster,
  Malformed,
  type Roster,
  type Schema,
  SessionTable,
} from "@lockstep/core"
import type { CheckpointChanges } from "../checkpoint.ts"
import type {
  HaltReport,
  ReplicaInput,
  ReplicaOptions,
  ReplicaOutput,
  ReplicaProtocol,
  ReplicaStatus,
} from "../mode.ts"
import { authentic } from "../authentic.ts"
import { Build } from "./build.ts"
import { decodeHeader } from "./checkpoint.ts"
import { Checkpoints, type Heard, type Holding } from "./checkpoints.ts"
import { Execution } from "./execution.ts"
import { Mandate } from "./mandate.ts"
import { type Broken, Past } from "../past.ts"
import { Peers } from "./peers.ts"
import { Transfer } from "./transfer.ts"

/**
 * A replica of the state machine mode, in one partition: entries in, votes out. All state follows from the log alone, so
 * two replicas that are given the same log are equal, whenever and in whatever pieces they are given it.
 */
export class StateMachineReplica implements ReplicaProtocol {
  readonly #options: ReplicaOptions
  readonly #mandate: Mandate
  readonly #build: Build
  readonly #actors: Actors
  readonly #sessions: SessionTable
  readonly #execution: Execution
  readonly #peers: Peers
  readonly #checkpoints: Checkpoints
  readonly #holding: Holding
  /** Where the log is read for a checkpoint that this build can begin with, in place of what it has. */
  #fetchFrom: number | undefined
  /** Where this build has executed its last entry: another one goes on from there. */
  #stoppedAt: { readonly seq: number; readonly chain: Digest } | undefined
  #told: string | undefined
  /** f+1 others attest another state than this replica has. */
  #divergence: string | undefined
  /** A checkpoint is fetched from peers. */
  #transfer: Transfer | undefined
  /** What is not on the disk of the checkpoint that it began with. */
  #toKeep: CheckpointChanges | undefined
  /** The checkpoint is there: another protocol begins with it. */
  #isDone = false
  readonly #past: Past
  /** Entries up to here were in the log before this replica was: others have voted on them, or clients will ask. */
  #replayUntil: number | undefined
  #halted: HaltReport | undefined
  #malformed = 0

  constructor(options: ReplicaOptions, holding: Holding) {
    this.#options = options
    this.#holding = holding
    this.#mandate = new Mandate(options, holding.votes)
    this.#build = new Build(options.definitions)
    this.#peers = new Peers(options, this.#mandate, this.#build, holding.votes)
    this.#actors = new Actors(options)
    this.#sessions = new SessionTable(options.sessionLimits)
    this.#past = new Past(options.logId)
    const [log, past, actors, sessions] = [options.logId, this.#past, this.#actors, this.#sessions]
    const { observer, stopwatch } = options
    this.#execution = new Execution({ log, past, actors, sessions, observer, stopwatch })
    this.#checkpoints = new Checkpoints(options, holding, this.#mandate, this.#actors, this.#sessions)
    const { restore, shardOf } = options
    const kept = restore?.header ?? shardOf
    if (kept === undefined) return
    const found = decodeHeader(kept)
    this.#mandate.held(found.roster)
    const beginning = this.#build.begin(found, restore === undefined ? "shard" : "whole")
    if (beginning === "fetches") {
      this.#fetchFrom = found.seq + 1
      this.#mandate.restore(found.roster)
    }
    if (restore === undefined || beginning === "fetches") return
    const header = this.#checkpoints.restore(restore)
    if (beginning === "stops") this.#stoppedAt = header
    this.#past.restore(header)
    this.#mandate.restore(header.roster)
    this.#checkpoints.reconfigured()
    this.#peers.executed(header.seq, header.chain)
    this.#toKeep = this.#checkpoints.keep(restore)
  }

  get status(): ReplicaStatus {
    const { seq: applied, chain } = this.#stoppedAt ?? this.#past
    return {
      applied,
      chain,
      from: this.#transfer?.from ?? Math.max(1, this.#past.seq),
      caughtUp:
        this.#transfer === undefined &&
        this.#build.waits === undefined &&
        this.#replayUntil !== undefined &&
        this.#past.seq >= this.#replayUntil,
      halted: this.#halted,
      actors: this.#actors.size,
      resident: this.#actors.resident,
      sessions: this.#sessions.size,
      executed: this.#execution.executed,
      stable: this.#checkpoints.stable,
      durable: this.#checkpoints.durable,
      roster: this.#mandate.roster,
      role: this.#mandate.role,
      onProbation: this.#mandate.probation === "open",
      probation: this.#mandate.probation,
      schema: this.#build.schema,
      waits: this.#build.waits,
      repeated: this.#execution.repeated,
      malformed: this.#malformed,
      stateDigest: () => this.#actors.digest(),
    }
  }

  step(input: ReplicaInput): ReadonlyArray<ReplicaOutput> {
    const outputs: Array<ReplicaOutput> = []
    if (this.#isDone) return outputs
    if (this.#halted !== undefined) {
      if (input._tag === "Peer") this.#hearAfterHalt(this.#halted, input.from, input.bytes, outputs)
      return outputs
    }
    if (this.#transfer !== undefined) this.#stepTransfer(this.#transfer, input, outputs)
    else if (input._tag === "Attached") this.#attach(input, outputs)
    else if (this.#fetchFrom === undefined) this.#stepOn(input, outputs)
    this.#tellWhyItWaits(outputs)
    return outputs
  }

  #stepOn(input: ReplicaInput, outputs: Array<ReplicaOutput>): void {
    switch (input._tag) {
      case "Entries":
        for (const entry of input.entries) {
          if (!this.#follow(entry, outputs)) break
        }
        for (const uncaught of this.#actors.takeUncaught()) outputs.push({ _tag: "Uncaught", uncaught })
        break
      case "Message":
        this.#answer(input.bytes, outputs)
        break
      case "Peer":
        this.#hear(input.from, input.bytes, outputs)
        break
      case "Continue":
        this.#keep(this.#checkpoints.proceed(), outputs)
        this.#rejoinIfDiverged(outputs)
        break
      case "Persisted":
        this.#attest(this.#checkpoints.persisted(input.seq), outputs)
        break
      case "Tick": {
        const standing = this.#past.tick(input.nowMs)
        if (standing !== "wait") this.#stay(standing, outputs)
        if (this.#halted !== undefined) return
        this.#tell(this.#peers.tick(this.status.applied, this.status.chain), outputs)
        this.#keep(this.#checkpoints.overdue(), outputs)
        this.#attest(this.#checkpoints.tick(), outputs)
        break
      }
      default: // what concerns an attachment or a transfer was seen to before; the rest is of other modes
    }
  }

  #tellWhyItWaits(outputs: Array<ReplicaOutput>): void {
    const { waits } = this.#build
    if (waits !== undefined && waits !== this.#told && this.#halted === undefined && !this.#isDone)
      outputs.push({ _tag: "Waits", detail: waits })
    this.#told = waits
  }

  #attach(log: ReplicaInput & { _tag: "Attached" }, outputs: Array<ReplicaOutput>): void {
    if (log.logId !== this.#options.logId)
      return this.#halt(outputs, "log-recreated", `the log is ${log.logId}, and was ${this.#options.logId}`)
    const isFetching = this.#transfer !== undefined || this.#fetchFrom !== undefined
    if (log.firstSeq > Math.max(1, this.#past.seq) || isFetching) return this.#catchUpFromPeers(log, outputs)
    if (this.#toKeep !== undefined) outputs.push({ _tag: "Persist", changes: this.#toKeep })
    this.#toKeep = undefined
    this.#replayUntil ??= log.lastSeq
    this.#past.attached(log)
  }

  /** The log begins after what was executed here: a checkpoint of the others is the only way on. */
  #catchUpFromPeers(log: ReplicaInput & { _tag: "Attached" }, outputs: Array<ReplicaOutput>): void {
    const { checkpointEveryBatches, replica, staged = [] } = this.#options
    const firstSeq = Math.max(log.firstSeq, this.#fetchFrom ?? 0)
    if (checkpointEveryBatches === undefined)
      return this.#halt(outputs, "log-gap", `the log begins at ${firstSeq}, after what was executed here`)
    const [known, holding, build] = [this.#mandate.latest, this.#holding, this.#build]
    this.#transfer ??= new Transfer({ from: firstSeq, replica, roster: known, holding, build, staged })
    this.#transfer.attached(firstSeq, log.roster ?? known, log.rosterSince)
    outputs.push(...this.#transfer.tick())
  }

  /** While a checkpoint is fetched, nothing is executed and nothing is answered. */
  #stepTransfer(transfer: Transfer, input: ReplicaInput, outputs: Array<ReplicaOutput>): void {
    if (input._tag === "Entries") transfer.read(input.entries)
    else if (input._tag === "Answer") {
      const { staged, asks } = transfer.answered(input.from, input.answer)
      if (staged !== undefined) outputs.push({ _tag: "Stage", bucket: staged })
      outputs.push(...asks)
    } else if (input._tag === "Tick") {
      outputs.push(...transfer.tick())
      if (transfer.needsRoster()) outputs.push({ _tag: "Reattach" })
    } else if (input._tag === "Attached") this.#attach(input, outputs)
    const checkpoint = transfer.complete
    if (checkpoint === undefined) return
    this.#isDone = true
    outputs.push({ _tag: "Install", checkpoint })
  }

  /** What came does not continue the past. */
  #stay(why: "reattach" | Broken, outputs: Array<ReplicaOutput>): false {
    if (why === "reattach") outputs.push({ _tag: "Reattach" })
    else this.#complain(outputs, why)
    return false
  }

  /** Executes the entry, if it continues the past. False where nothing may follow it. */
  #follow(entry: Entry, outputs: Array<ReplicaOutput>): boolean {
    const continuation = this.#past.follow(entry)
    if (continuation === "again") return true
    if (continuation !== "next") return this.#stay(continuation, outputs)
    this.#peers.executed(entry.seq, this.#past.chain)
    if (this.#haltIfForked(outputs)) return false
    try {
      this.#execute(entry, outputs)
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
      this.#rejoin(outputs, "store-damaged", cause.message)
    }
    this.#rejoinIfDiverged(outputs)
    return this.#halted === undefined && !this.#isDone && this.#fetchFrom === undefined
  }

  #rejoinIfDiverged(outputs: Array<ReplicaOutput>): void {
    if (this.#divergence !== undefined && this.#isSure && this.#fetchFrom === undefined)
      this.#rejoin(outputs, "state-diverged", this.#divergence)
  }

  #tell(bytes: Uint8Array | undefined, outputs: Array<ReplicaOutput>): void {
    if (bytes !== undefined) outputs.push({ _tag: "Tell", bytes })
  }

  #hear(from: string, bytes: Uint8Array, outputs: Array<ReplicaOutput>): void {
    const answer = this.#peers.hear(from, bytes)
    if (answer === "malformed") this.#malformed++
    else this.#tell(answer, outputs)
    this.#haltIfForked(outputs)
  }

  #haltIfForked(outputs: Array<ReplicaOutput>): boolean {
    const verdict = this.#peers.verdict
    if (verdict === undefined) return false
    // where one vote decides, both sides would forget what they know on each other's word
    if (this.#holding.votes === 1) this.#halt(outputs, "log-forked", verdict)
    else this.#rejoin(outputs, "log-forked", verdict)
    return true
  }

  #execute(entry: Entry, outputs: Array<ReplicaOutput>): void {
    const envelope = authentic(entry)
    if (envelope === undefined || isOfMaster(envelope)) return void this.#malformed++
    if (envelope._tag === "Reconfiguration") return this.#reconfigure(envelope.roster, entry.source, outputs)
    // what another build executes is not read here; who votes is, and what they attest
    if (this.#stoppedAt !== undefined && envelope._tag !== "Attestation") return
    if (envelope._tag === "Upgrade") return this.#upgrade(envelope.schema, entry.source, outputs)
    if (envelope._tag === "Attestation") return this.#judge(this.#checkpoints.hear(envelope), outputs)
    const [execution, isReplayed] = [this.#execution, this.#isReplaying]
    const answer =
      envelope._tag === "Opening" ? execution.open(envelope) : execution.admit(envelope, isReplayed)
    if (answer !== undefined && !isReplayed) this.#vote(envelope.client, answer, outputs, "designated")
    if (envelope._tag !== "Batch") return
    const { length: commands } = envelope.commands
    const batch = { commands, bytes: entry.payload.length, isReplayed }
    this.#keep(this.#checkpoints.executed(this.#position, batch), outputs)
  }

  /** Whether this build should have executed all this: where nothing was stated, what is not read yet may say otherwise, and nothing is said or concluded. */
  get #isSure(): boolean {
    return this.#build.schema.number > 0 || this.#past.seq >= (this.#replayUntil ?? 0)
  }

  get #isReplaying(): boolean {
    return this.#replayUntil !== undefined && this.#past.seq <= this.#replayUntil
  }

  /** What a checkpoint says of where it was taken. */
  get #position(): Parameters<Checkpoints["executed"]>[0] {
    return { ...this.#past.position, ...this.#build.stated, roster: this.#mandate.roster }
  }

  /** The log states what executes the entries that follow. */
  #upgrade(schema: Schema, source: string, outputs: Array<ReplicaOutput>): void {
    const { seq, chain } = this.#past
    const effect = this.#build.follow(schema, { source, seq })
    if (effect === "ignored") return void this.#malformed++
    if (effect !== "goes-on" && this.#options.checkpointEveryBatches === undefined)
      return this.#halt(outputs, "wrong-build", `${this.#build.waits}, and nobody takes checkpoints here`)
    if (effect === "wrong-past") {
      this.#fetchFrom = seq + 1
      return void outputs.push({ _tag: "Reattach" })
    }
    this.#keep(this.#checkpoints.upgraded(this.#position, this.#isReplaying), outputs)
    if (effect === "stops") this.#stoppedAt = { seq, chain }
  }

  #reconfigure(roster: Roster, source: string, outputs: Array<ReplicaOutput>): void {
    if (!this.#mandate.follow(roster, source)) return void this.#malformed++ // of two operators one comes too late
    this.#checkpoints.reconfigured()
    this.#peers.reconfigured()
    outputs.push({ _tag: "Membership", roster, role: this.#mandate.role })
  }

  #keep(complete: ReadonlyArray<CheckpointChanges>, outputs: Array<ReplicaOutput>): void {
    for (const changes of complete) {
      outputs.push({ _tag: "Persist", changes })
      this.#attest(this.#checkpoints.attestation(changes.seq), outputs)
    }
    if (complete.length > 0) this.#judge(this.#checkpoints.compare(), outputs)
    if (this.#checkpoints.asks()) outputs.push({ _tag: "Continue" })
  }

  #attest(bytes: Uint8Array | undefined, outputs: Array<ReplicaOutput>): void {
    if (bytes !== undefined && this.#isSure) outputs.push({ _tag: "Attest", bytes })
  }

  /** What replicas attest is heard by all of them at one position. One that finds itself alone must not vote any more. */
  #judge({ confirmed, diverged, truncatable }: Heard, outputs: Array<ReplicaOutput>): void {
    if (confirmed === true && this.#mandate.confirm()) outputs.push({ _tag: "Trusted" })
    if (diverged !== undefined) this.#divergence ??= diverged
    else if (truncatable !== undefined) outputs.push({ _tag: "Truncatable", below: truncatable })
  }

  /** A client asks for a vote once more: it gets the kept answer, with its bytes. */
  #answer(bytes: Uint8Array, outputs: Array<ReplicaOutput>): void {
    try {
      const ask = decodeAsk(bytes)
      const answer = this.#sessions.find(ask.client, ask.session, ask.number)
      if (answer !== undefined) this.#vote(ask.client, answer, outputs, "bytes")
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
      this.#malformed++
    }
  }

  #vote(client: ClientId, answer: Answer, outputs: Array<ReplicaOutput>, send: "designated" | "bytes"): void {
    if (!this.#isSure) return
    for (const bytes of this.#mandate.vote(client, answer, send, this.#execution.spansOf(answer)))
      outputs.push({ _tag: "Send", to: client, bytes })
  }

  /** The log, as this server shows it, is not what it was. Another server may show it whole; where it does not, nobody goes on here. */
  #complain(outputs: Array<ReplicaOutput>, { reason, detail }: Broken): void {
    if (!this.#past.suspect()) return this.#halt(outputs, reason, detail)
    outputs.push({ _tag: "Reattach", complaint: this.#report(reason, detail) })
  }

  /** f+1 voters that go on where this replica halted prove that it is wrong: any f+1 who read what it read would have halted as well. */
  #hearAfterHalt(report: HaltReport, from: string, bytes: Uint8Array, outputs: Array<ReplicaOutput>): void {
    if (report.reason === "log-recreated") return // there is nothing to go on with
    if (this.#peers.goOn(from, bytes, this.#past.seq)) this.#rejoin(outputs, report.reason, report.detail)
  }

  /** Begins anew; but only once: a second time is no accident. */
  #rejoin(outputs: Array<ReplicaOutput>, reason: HaltReport["reason"], detail: string): void {
    if (this.#mandate.probation !== undefined) return this.#halt(outputs, reason, detail)
    this.#isDone = true
    outputs.push({ _tag: "Rejoin", report: this.#report(reason, detail) })
  }

  #halt(outputs: Array<ReplicaOutput>, reason: HaltReport["reason"], detail: string): void {
    if (this.#halted !== undefined) return
    this.#halted = this.#report(reason, detail)
    outputs.push({ _tag: "Halt", report: this.#halted })
  }

  #report(reason: HaltReport["reason"], detail: string): HaltReport {
    return { reason, detail, applied: this.#past.seq, chain: this.#past.chain }
  }
}
