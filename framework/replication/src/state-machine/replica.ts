import { Actors } from "@lockstep/actor"
import {
  type Answer,
  type Attestation,
  type ClientId,
  decodeAsk,
  decodeEnvelope,
  type Entry,
  type Envelope,
  Malformed,
  type ReplicaId,
  type Roster,
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
import { Checkpoints, type Holding } from "./checkpoints.ts"
import { Execution } from "./execution.ts"
import { Mandate } from "./mandate.ts"
import { type Broken, Past } from "./past.ts"
import { Peers } from "./peers.ts"
import { type Asked, Transfer } from "./transfer.ts"

/**
 * A replica of the state machine mode, in one partition: entries in, votes out. All state follows from the log alone, so
 * two replicas that are given the same log are equal, whenever and in whatever pieces they are given it.
 */
export class StateMachineReplica implements ReplicaProtocol {
  readonly #options: ReplicaOptions
  readonly #mandate: Mandate
  readonly #actors: Actors
  readonly #sessions: SessionTable
  readonly #execution: Execution
  readonly #peers: Peers
  readonly #checkpoints: Checkpoints
  readonly #holding: Holding
  /** A checkpoint is fetched from peers. */
  #transfer: Transfer | undefined
  /** What is not on the disk of the checkpoint that it began with. */
  #toKeep: CheckpointChanges | undefined
  /** The checkpoint is there: another protocol begins with it. */
  #isDone = false
  readonly #past: Past
  /** Entries up to here were in the log before this replica was: others have voted on them, or clients will ask. */
  #replayUntil: number | undefined
  /** The log broke its promise, and has not gone on since. */
  #hasComplained = false
  #halted: HaltReport | undefined
  /** Voters that go on although this replica has halted. */
  readonly #ahead = new Set<ReplicaId>()
  #malformed = 0

  constructor(options: ReplicaOptions, holding: Holding) {
    this.#options = options
    this.#holding = holding
    this.#mandate = new Mandate(options, holding.votes)
    this.#peers = new Peers(options, this.#mandate, holding.votes)
    this.#actors = new Actors(options)
    this.#sessions = new SessionTable(options.sessionLimits)
    this.#past = new Past(options.logId)
    const { logId: log } = options
    const [past, actors, sessions] = [this.#past, this.#actors, this.#sessions]
    this.#execution = new Execution({ log, past, actors, sessions })
    this.#checkpoints = new Checkpoints(options, holding, this.#mandate, this.#actors, this.#sessions)
    const { restore } = options
    if (restore === undefined) return
    const header = this.#checkpoints.restore(restore)
    this.#past.restore(header)
    this.#mandate.restore(header.roster)
    this.#checkpoints.reconfigured()
    this.#peers.executed(header.seq, header.chain)
    this.#toKeep = this.#checkpoints.keep(restore)
  }

  get status(): ReplicaStatus {
    return {
      applied: this.#past.seq,
      chain: this.#past.chain,
      from: this.#transfer?.from ?? Math.max(1, this.#past.seq),
      caughtUp:
        this.#transfer === undefined &&
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
    if (this.#transfer !== undefined) {
      this.#stepTransfer(this.#transfer, input, outputs)
      return outputs
    }
    switch (input._tag) {
      case "Attached":
        this.#attach(input, outputs)
        break
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
      case "Answer":
        break
      case "Persisted":
        this.#attest(this.#checkpoints.persisted(input.seq), outputs)
        break
      case "Tick":
        this.#awaitOverlap(input.nowMs, outputs)
        this.#tell(this.#peers.tick(this.#past.seq, this.#past.chain), outputs)
        this.#attest(this.#checkpoints.tick(), outputs)
        break
    }
    return outputs
  }

  #attach(log: ReplicaInput & { _tag: "Attached" }, outputs: Array<ReplicaOutput>): void {
    if (log.logId !== this.#options.logId)
      return this.#halt(outputs, "log-recreated", `the log is ${log.logId}, and was ${this.#options.logId}`)
    if (log.firstSeq > Math.max(1, this.#past.seq) || this.#transfer !== undefined)
      return this.#catchUpFromPeers(log, outputs)
    if (this.#toKeep !== undefined) outputs.push({ _tag: "Persist", changes: this.#toKeep })
    this.#toKeep = undefined
    this.#replayUntil ??= log.lastSeq
    this.#past.attached(log)
  }

  /** The log begins after what was executed here: a checkpoint of the others is the only way on. */
  #catchUpFromPeers(log: ReplicaInput & { _tag: "Attached" }, outputs: Array<ReplicaOutput>): void {
    const { checkpointEveryBatches, replica, staged = [] } = this.#options
    const { firstSeq, roster } = log
    if (checkpointEveryBatches === undefined)
      return this.#halt(outputs, "log-gap", `the log begins at ${firstSeq}, after what was executed here`)
    const { roster: known } = this.#mandate
    const holding = this.#holding
    this.#transfer ??= new Transfer({ from: firstSeq, replica, roster: known, holding, staged })
    this.#transfer.attached(firstSeq, roster ?? known)
    this.#request(this.#transfer.tick(), outputs)
  }

  #request(asks: ReadonlyArray<Asked>, outputs: Array<ReplicaOutput>): void {
    for (const asked of asks) outputs.push({ _tag: "Request", ...asked })
  }

  /** While a checkpoint is fetched, nothing is executed and nothing is answered. */
  #stepTransfer(transfer: Transfer, input: ReplicaInput, outputs: Array<ReplicaOutput>): void {
    if (input._tag === "Entries") transfer.read(input.entries)
    else if (input._tag === "Answer") {
      const { staged, asks } = transfer.answered(input.from, input.answer)
      if (staged !== undefined) outputs.push({ _tag: "Stage", bucket: staged })
      this.#request(asks, outputs)
    } else if (input._tag === "Tick") {
      this.#request(transfer.tick(), outputs)
      if (transfer.needsRoster()) outputs.push({ _tag: "Reattach" })
    } else if (input._tag === "Attached") this.#attach(input, outputs)
    const checkpoint = transfer.complete
    if (checkpoint === undefined) return
    this.#isDone = true
    outputs.push({ _tag: "Install", checkpoint })
  }

  #awaitOverlap(nowMs: number, outputs: Array<ReplicaOutput>): void {
    const standing = this.#past.tick(nowMs)
    if (standing === "reattach") outputs.push({ _tag: "Reattach" })
    else if (standing !== "wait") this.#complain(outputs, standing)
  }

  /** Executes the entry, if it continues the past. False where nothing may follow it. */
  #follow(entry: Entry, outputs: Array<ReplicaOutput>): boolean {
    const continuation = this.#past.follow(entry)
    if (continuation === "again") return true
    if (continuation === "reattach") {
      outputs.push({ _tag: "Reattach" })
      return false
    }
    if (continuation !== "next") {
      this.#complain(outputs, continuation)
      return false
    }
    this.#hasComplained = false
    this.#peers.executed(entry.seq, this.#past.chain)
    if (this.#haltIfForked(outputs)) return false
    try {
      this.#execute(entry, outputs)
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
      this.#rejoin(outputs, "store-damaged", cause.message)
    }
    return this.#halted === undefined && !this.#isDone
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
    this.#rejoin(outputs, "log-forked", verdict)
    return true
  }

  #execute(entry: Entry, outputs: Array<ReplicaOutput>): void {
    let envelope: Envelope
    try {
      envelope = decodeEnvelope(entry.payload)
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
      this.#malformed++
      return
    }
    if (envelope._tag === "Reconfiguration") return this.#reconfigure(envelope.roster, entry.source, outputs)
    const writer =
      envelope._tag === "Attestation" ? `replica.${envelope.replica}` : `client.${envelope.client}`
    if (entry.source !== writer) return void this.#malformed++ // somebody writes in another's name
    if (envelope._tag === "Attestation") return this.#hearAttestation(envelope, outputs)
    const answer =
      envelope._tag === "Opening" ? this.#execution.open(envelope) : this.#execution.admit(envelope)
    const replaying = this.#replayUntil !== undefined && entry.seq <= this.#replayUntil
    if (answer !== undefined && !replaying) this.#vote(envelope.client, answer, outputs, "designated")
    if (envelope._tag === "Batch")
      this.#checkpointWhenDue({ commands: envelope.commands.length, isReplayed: replaying }, outputs)
  }

  #reconfigure(roster: Roster, source: string, outputs: Array<ReplicaOutput>): void {
    if (!this.#mandate.follow(roster, source)) return void this.#malformed++ // of two operators one comes too late
    this.#checkpoints.reconfigured()
    this.#peers.reconfigured()
    outputs.push({ _tag: "Membership", roster, role: this.#mandate.role })
  }

  #checkpointWhenDue(
    batch: { readonly commands: number; readonly isReplayed: boolean },
    outputs: Array<ReplicaOutput>,
  ): void {
    const { roster } = this.#mandate
    const changes = this.#checkpoints.executed({ ...this.#past.position, roster }, batch)
    if (changes === undefined) return
    outputs.push({ _tag: "Persist", changes })
    this.#attest(this.#checkpoints.attestation(changes.seq), outputs)
  }

  #attest(bytes: Uint8Array | undefined, outputs: Array<ReplicaOutput>): void {
    if (bytes !== undefined) outputs.push({ _tag: "Attest", bytes })
  }

  /** What replicas attest is heard by all of them at one position. One that finds itself alone must not vote any more. */
  #hearAttestation(attestation: Attestation, outputs: Array<ReplicaOutput>): void {
    const { confirmed, diverged, truncatable } = this.#checkpoints.hear(attestation)
    if (confirmed === true && this.#mandate.confirm()) outputs.push({ _tag: "Trusted" })
    if (diverged !== undefined) this.#rejoin(outputs, "state-diverged", diverged)
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
    for (const bytes of this.#mandate.vote(client, answer, send))
      outputs.push({ _tag: "Send", to: client, bytes })
  }

  /** The log, as this server shows it, is not what it was. Another server may show it whole; where it does not, nobody goes on here. */
  #complain(outputs: Array<ReplicaOutput>, { reason, detail }: Broken): void {
    if (this.#hasComplained) return this.#halt(outputs, reason, detail)
    this.#hasComplained = true
    outputs.push({ _tag: "Reattach", complaint: this.#report(reason, detail) })
  }

  /**
   * f+1 voters that go on where this replica halted prove that it is the one that is wrong: no answer can have been decided by those
   * who read what it read, because any f+1 of them would have halted as well.
   */
  #hearAfterHalt(report: HaltReport, from: string, bytes: Uint8Array, outputs: Array<ReplicaOutput>): void {
    if (report.reason === "log-recreated") return // there is nothing to go on with
    const voter = this.#peers.voterAhead(from, bytes, this.#past.seq)
    if (voter !== undefined) this.#ahead.add(voter)
    if (this.#ahead.size >= this.#holding.votes) this.#rejoin(outputs, report.reason, report.detail)
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
