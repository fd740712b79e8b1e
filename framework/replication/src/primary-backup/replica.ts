import { type ClientId, type Entry, encodeVote, Malformed, ReplicaId, StateTree } from "@lockstep/core"
import { authentic } from "../authentic.ts"
import type {
  HaltReport,
  ReplicaInput,
  ReplicaOptions,
  ReplicaOutput,
  ReplicaProtocol,
  ReplicaStatus,
} from "../mode.ts"
import { type Broken, Past } from "../past.ts"
import { Backup, type Need } from "./backup.ts"
import { Fetch } from "./fetch.ts"
import type { Ground } from "./ground.ts"
import { Ledger } from "./ledger.ts"
import { decodeMessage, encodeOffer } from "./message.ts"
import type { Rules } from "./mode.ts"
import type { Accession } from "./notices.ts"
import { Primary } from "./primary.ts"
import { isSame, Reigns } from "./reigns.ts"
import { begunReport } from "./reign-report.ts"
import { peerReport, reignStatus, schemaOf, standingOf } from "./reign-status.ts"
import { decodeQuestion, encodeReply, type Question } from "./request.ts"
import { encodeSnapshot } from "./snapshot.ts"
import { Stray } from "./stray.ts"
import { envelopeOf } from "./work.ts"

/** How often a replica tells everybody that it is there, milliseconds. */
const REPORT_MS = 1000

/**
 * A replica of the primary-backup mode, in one partition: a primary or a backup, as the log says. Data comes from clients, or from the
 * primary; who that is, and who is in sync, from the log alone.
 */
export class PrimaryBackupReplica implements ReplicaProtocol {
  readonly #options: ReplicaOptions
  readonly #ground: Ground
  readonly #past: Past
  readonly #reigns: Reigns
  readonly #ledger: Ledger
  #role: Primary | Backup
  /** The last time that this replica was the primary, and has ended. */
  #formerly: Primary | undefined
  #fetch: Fetch | undefined
  /** The log begins after what was read of it: only a checkpoint leads on. */
  #stray: Stray | undefined
  #outputs: Array<ReplicaOutput> = []
  /** Entries up to here were in the log before this replica was. */
  #replayUntil: number | undefined
  #halted: HaltReport | undefined
  #isDone = false
  #malformed = 0
  #reportedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: ReplicaOptions, rules: Rules) {
    this.#options = options
    this.#past = new Past(options.logId)
    this.#reigns = new Reigns(rules, options.roster)
    this.#ledger = new Ledger(options)
    const log = this.#ledger.restore(options.restore, this.#reigns)
    if (log !== undefined) this.#past.restore(log)
    this.#ground = {
      options,
      rules,
      life: { replica: options.replica, incarnation: options.incarnation ?? "only" },
      past: this.#past,
      reigns: this.#reigns,
      ledger: this.#ledger,
      isLeaving: false,
      nowMs: 0,
      executions: 0,
      executed: 0,
      truncated: 0,
      degradedCommands: 0,
      failovers: 0,
      say: (...outputs) => void this.#outputs.push(...outputs),
    }
    this.#role = new Backup(this.#ground)
  }

  get status(): ReplicaStatus {
    const { seq: applied, chain } = this.#past
    const { shelved, actors, sessions } = this.#ledger
    return {
      applied,
      chain,
      from: Math.max(1, applied),
      caughtUp: this.#isCaughtUp && this.#fetch === undefined,
      halted: this.#halted,
      actors,
      resident: actors,
      sessions,
      executed: this.#ground.executed,
      stable: shelved.position,
      durable: shelved.position,
      roster: this.#reigns.roster,
      role: standingOf(this.#ground),
      onProbation: this.#options.probation === "open",
      probation: this.#options.probation,
      schema: schemaOf(this.#ground),
      waits: undefined,
      repeated: 0,
      malformed: this.#malformed,
      reign: reignStatus(this.#ground, this.#role),
      stateDigest: () => this.#ledger.digest(),
    }
  }

  /** Whether it has read what was in the log before this replica was. */
  get #isCaughtUp(): boolean {
    return this.#stray === undefined && this.#replayUntil !== undefined && this.#past.seq >= this.#replayUntil
  }

  step(input: ReplicaInput, nowMs?: number): ReadonlyArray<ReplicaOutput> {
    this.#ground.nowMs = Math.max(this.#ground.nowMs, nowMs ?? this.#ground.nowMs)
    this.#outputs = []
    if (this.#halted !== undefined || this.#isDone) return this.#outputs
    try {
      this.#take(input)
      if (this.#halted === undefined && !this.#isDone) this.#checkpoint()
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
      this.#rejoin("store-damaged", cause.message)
    }
    return this.#outputs
  }

  #take(input: ReplicaInput): void {
    const role = this.#role
    switch (input._tag) {
      case "Attached":
        return this.#attach(input)
      case "Entries":
        for (const entry of input.entries) if (!this.#follow(entry)) break
        return
      case "Message":
        return this.#ask(input.bytes)
      case "Peer":
        return this.#hear(input.from, input.bytes)
      case "Answer":
        return this.#fetched(input)
      case "Continue":
        return this.#ledger.proceed()
      case "Persisted":
        return this.#ground.say(...this.#ledger.persisted(input.seq))
      case "Journaled":
        this.#ledger.journaled(input.write)
        return this.#fetch === undefined ? role.journaled() : undefined
      case "Executed":
        return role.executed(input.executed)
      case "HandOver":
        return role instanceof Primary ? role.handOver(input.to) : undefined
      case "Leave":
        this.#ground.isLeaving = true
        return role instanceof Primary ? role.handOver(undefined) : role.leave()
      case "Tick":
        return this.#tick(input.nowMs)
    }
  }

  #attach(log: ReplicaInput & { readonly _tag: "Attached" }): void {
    if (log.logId !== this.#options.logId)
      return this.#halt("log-recreated", `the log is ${log.logId}, and was ${this.#options.logId}`)
    const isBehind = log.firstSeq > Math.max(1, this.#past.seq)
    this.#stray = isBehind ? new Stray(log.firstSeq) : undefined
    this.#replayUntil ??= log.lastSeq
    if (!isBehind) this.#past.attached(log)
    else if (this.#role instanceof Primary) this.#resign(this.#role, "failover")
  }

  #tick(nowMs: number): void {
    const standing = this.#past.tick(nowMs)
    if (standing === "reattach") this.#ground.say({ _tag: "Reattach" })
    else if (standing !== "wait") this.#complain(standing)
    if (this.#halted !== undefined) return
    this.#ledger.tick()
    if (this.#fetch?.isIdle(this.#ground.nowMs) === true) this.#fetch = undefined
    if (this.#fetch === undefined) this.#plead()
    if (this.#fetch === undefined && (this.#role instanceof Primary || this.#isCaughtUp)) this.#role.tick()
    if (this.#ground.nowMs - this.#reportedAtMs < REPORT_MS) return
    this.#reportedAtMs = this.#ground.nowMs
    this.#ground.say({ _tag: "Tell", bytes: peerReport(this.#ground) })
  }

  /** Takes the entry in, if it continues the log. False where nothing may follow it. */
  #follow(entry: Entry): boolean {
    if (this.#stray !== undefined) return false
    const continuation = this.#past.follow(entry)
    if (continuation === "again") return true
    if (continuation === "reattach") {
      this.#ground.say({ _tag: "Reattach" })
      return false
    }
    if (continuation !== "next") {
      this.#complain(continuation)
      return false
    }
    this.#read(entry)
    return true
  }

  #read(entry: Entry): void {
    const envelope = authentic(entry)
    const before = this.#reigns.current
    const change = envelope && this.#reigns.take(envelope, entry.source, this.#past.timeNs)
    if (envelope === undefined || change === undefined) {
      this.#malformed++
      return
    }
    if (envelope._tag === "Reconfiguration")
      this.#ground.say({ _tag: "Membership", roster: envelope.roster, role: standingOf(this.#ground) })
    if (change !== "elected" && change !== "renewed") return
    const byOffers = before.epoch === 0 ? "first" : "failover"
    const cause = envelope._tag === "Renewal" ? "hand-over" : byOffers
    const isNew = this.#past.seq > (this.#replayUntil ?? Number.POSITIVE_INFINITY)
    if (isNew && cause === "failover") this.#ground.failovers++
    this.#reigned(change, { before, cause })
  }

  /** The log names a primary: perhaps this one, perhaps no longer. */
  #reigned(change: "elected" | "renewed", how: Omit<Accession, "silentSinceMs">): void {
    const { life } = this.#ground
    const { master } = this.#reigns.current
    const role = this.#role
    const isPrimary = master !== undefined && isSame(master, life)
    this.#ground.say({ _tag: "Truncatable", below: this.#reigns.current.logBelow })
    if (change === "renewed" && role instanceof Primary) return isPrimary ? role.renewed() : undefined
    if (change === "elected") {
      this.#ground.say({
        _tag: "Reign",
        report: begunReport(this.#ground, { ...how, isMaster: isPrimary }),
      })
      const backup = role instanceof Primary ? this.#resign(role, how.cause) : role
      if (isPrimary) {
        this.#role = new Primary(this.#ground, { ...how, silentSinceMs: backup.silentSinceMs })
        return
      }
    }
    if (this.#role instanceof Backup) this.#role.reigned(change)
  }

  #resign(role: Primary, cause: Accession["cause"]): Backup {
    role.end(cause === "hand-over" ? cause : "failover")
    this.#formerly = role
    this.#ledger.hide()
    const backup = (this.#role = new Backup(this.#ground))
    for (const question of role.held) this.#elsewhere(question)
    return backup
  }

  #ask(bytes: Uint8Array): void {
    const question = this.#understand(bytes)
    if (question === undefined) return
    if (question._tag === "Locate") return this.#elsewhere(question)
    const { epoch } = this.#reigns.current
    const role = this.#role
    const isBounded = question._tag === "Read" && question.maxStalenessMs !== undefined
    if (isBounded && role instanceof Backup && this.#fetch === undefined) return role.ask(question)
    if (role instanceof Primary && question.epoch === epoch) return role.ask(question)
    this.#elsewhere(question)
  }

  #understand(bytes: Uint8Array): Question | undefined {
    try {
      return decodeQuestion(bytes)
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
      this.#malformed++
      return undefined
    }
  }

  /** Somebody else is the primary, or was meant. */
  #elsewhere(question: Question): void {
    const { epoch, master } = this.#reigns.current
    const { options } = this.#ground
    const former = this.#formerly
    const isNamed = question._tag !== "Locate"
    const wasMeant = isNamed && former?.epoch === question.epoch
    const untouched =
      wasMeant && former.epoch < epoch && former.isUntouched(question.client, question.envelope)
    const number = isNamed ? envelopeOf(question.client, question.envelope)?.number : undefined
    const copy = "copy" in question && (!wasMeant || untouched) ? question.copy : undefined
    const about = { epoch, master: master?.replica, number, untouched, copy }
    const reply = encodeReply({ _tag: "Elsewhere", ...about })
    this.#send(question.client, encodeVote(options.replica, reply, Buffer.alloc(0)))
  }

  #send(to: ClientId, messages: ReadonlyArray<Uint8Array>): void {
    for (const bytes of messages) this.#ground.say({ _tag: "Send", to, bytes })
  }

  #hear(from: string, bytes: Uint8Array): void {
    try {
      const message = decodeMessage(bytes)
      if (message === undefined) return // a report, for operators
      const peer = ReplicaId(from)
      const role = this.#role
      if (message._tag === "Acknowledgement")
        return role instanceof Primary ? role.hear(peer, message) : undefined
      if (message._tag === "Plea") return this.#offer(peer, message.firstSeq)
      if (role instanceof Primary || this.#fetch !== undefined) return
      // who the primary was when this replica last looked does not count
      if (this.#stray === undefined && !this.#isCaughtUp) return
      const isShip = message._tag === "Ship"
      const need =
        this.#stray?.hear(peer, message) ?? (isShip && !this.#stray ? role.hear(peer, message) : undefined)
      if (need !== undefined) this.#begin(need)
    } catch (cause) {
      if (!(cause instanceof Malformed || cause instanceof TypeError)) throw cause
      this.#malformed++
    }
  }

  #plead(): void {
    const plea = this.#stray?.tick(this.#ground.nowMs)
    if (plea instanceof Uint8Array) this.#ground.say({ _tag: "Tell", bytes: plea })
    else if (plea !== undefined) this.#begin(plea)
  }

  #offer(to: ReplicaId, firstSeq: number): void {
    const { position: checkpoint, log } = this.#ledger.shelved
    if (this.#stray !== undefined) return
    if (log + 1 < firstSeq) this.#ledger.wantsCheckpoint = true
    else this.#ground.say({ _tag: "Tell", to, bytes: encodeOffer({ checkpoint, log }) })
  }

  /** Begins to fetch a checkpoint, as soon as the primary says which one it has. */
  #begin({ from, checkpoint }: Need): void {
    if (checkpoint === undefined) return this.#stray === undefined ? this.#beginAnew() : undefined
    const { nowMs, say } = this.#ground
    this.#fetch = new Fetch(from, { seq: checkpoint, staged: this.#options.staged ?? [], nowMs })
    say(this.#fetch.begin())
  }

  /** What this replica holds is not the group's, and the primary still has all records: it begins with nothing, as if that were a checkpoint. */
  #beginAnew(): void {
    const nothing = { position: 0, spans: [], log: this.#past.position, root: new StateTree().root() }
    const checkpoint = { seq: 0, header: encodeSnapshot(nothing, this.#reigns), buckets: new Map() }
    this.#isDone = true
    this.#ground.say({ _tag: "Install", checkpoint })
  }

  #fetched(input: ReplicaInput & { readonly _tag: "Answer" }): void {
    const fetch = this.#fetch
    if (fetch === undefined || input.from !== fetch.from) return
    const outputs = fetch.answered(input.answer, this.#ground.nowMs)
    if (outputs === "gone") {
      this.#fetch = undefined
      return
    }
    this.#ground.say(...outputs)
    const checkpoint = fetch.complete
    if (checkpoint === undefined) return
    this.#isDone = true
    this.#ground.say({ _tag: "Install", checkpoint })
  }

  #checkpoint(): void {
    if (this.#fetch !== undefined) return
    // the log may lose what this replica's checkpoint has not read
    if (this.#isCaughtUp && this.#ledger.shelved.log < this.#reigns.current.logBelow)
      this.#ledger.wantsCheckpoint = true
    const changes = this.#ledger.checkpoint(this.#past.position, this.#reigns)
    if (changes !== undefined) this.#ground.say({ _tag: "Persist", changes })
    if (this.#ledger.asks()) this.#ground.say({ _tag: "Continue" })
  }

  /** The log, as this server shows it, is not what it was. Another server may show it whole; where it does not, nobody goes on here. */
  #complain({ reason, detail }: Broken): void {
    if (!this.#past.suspect()) return this.#halt(reason, detail)
    this.#ground.say({ _tag: "Reattach", complaint: this.#haltReport(reason, detail) })
  }

  #rejoin(reason: HaltReport["reason"], detail: string): void {
    this.#isDone = true
    this.#outputs = [{ _tag: "Rejoin", report: this.#haltReport(reason, detail) }]
  }

  #halt(reason: HaltReport["reason"], detail: string): void {
    this.#halted = this.#haltReport(reason, detail)
    this.#ground.say({ _tag: "Halt", report: this.#halted })
  }

  #haltReport(reason: HaltReport["reason"], detail: string): HaltReport {
    return { reason, detail, applied: this.#past.seq, chain: this.#past.chain }
  }
}
