import type { Executed } from "@lockstep/actor"
import {
  type Batch,
  type ClientId,
  encodeVote,
  invariant,
  type Opening,
  type ReplicaId,
  SessionId,
} from "@lockstep/core"
import type { Departure } from "../reign.ts"
import { Followers } from "./followers.ts"
import type { Ground } from "./ground.ts"
import type { Acknowledgement } from "./message.ts"
import { type Accession, Notices } from "./notices.ts"
import { encodeRecord, type JournalRecord } from "./record.ts"
import { encodeReply, type Question, type Reply } from "./request.ts"
import { Tenure } from "./tenure.ts"
import { Refused } from "./refused.ts"
import { Turns } from "./turns.ts"
import { changedRows, envelopeOf, isQuery, keyIn, keyOf, refusals, type Work, workOf } from "./work.ts"

/** Batches that are executed, or wait for their turn, at most. */
const EXECUTING_MAX = 4096
/** Records that are not acknowledged, at most. */
const UNACKNOWLEDGED_MAX = 16_384
/** A batch that is on its way through this primary. */
interface Underway {
  readonly batch: Batch
  /** Its record; 0 while it is executed. */
  position: number
}

/** A query's answer, which may go out once all that it has seen is acknowledged. */
interface Answered {
  readonly position: number
  readonly client: ClientId
  readonly reply: Reply
  readonly outcomes: Buffer
}

/**
 * The primary of one epoch: it executes, ships what that came to, and answers once enough backups hold it. It ends when the log names
 * another one.
 */
export class Primary {
  readonly epoch: number
  readonly #ground: Ground
  readonly #followers: Followers
  readonly #tenure: Tenure
  readonly #notices: Notices
  readonly #turns = new Turns()
  readonly #sinceMs: number
  /** What is executed, by token: what to do with what it comes to. */
  readonly #executing = new Map<number, (executed: Executed) => void>()
  /** Batches and openings that are not acknowledged, by client, session and number. */
  readonly #underway = new Map<string, Underway>()
  readonly #refused = new Refused()
  #reads: Array<Answered> = []
  #held: Array<Exclude<Question, { _tag: "Locate" }>> = []
  #beatAtMs = Number.NEGATIVE_INFINITY

  constructor(ground: Ground, accession: Accession) {
    invariant(ground.ledger.history.last === ground.reigns.current.start, "who is elected is where it said")
    this.#ground = ground
    this.epoch = ground.reigns.current.epoch
    this.#followers = new Followers(ground, this.epoch)
    this.#tenure = new Tenure(ground, this.#followers)
    this.#notices = new Notices(ground, this.#followers, accession)
    this.#sinceMs = ground.nowMs
    const { history } = ground.ledger
    // the log says so
    for (const _ of ground.ledger.commit(ground.reigns.current.committed)) void _
    const { committed } = ground.ledger
    for (let at = committed + 1; at <= history.last; at++) {
      const record = history.at(at)
      if (record === undefined) continue
      ground.ledger.show(record)
      this.#underway.set(keyIn(record), { batch: NO_BATCH, position: at })
    }
    this.#followers.announce(this.#peers)
    this.tick()
  }

  /** Whether it may answer reads by itself. */
  get leased(): boolean {
    return this.#tenure.leased
  }

  get margin(): number {
    return this.#tenure.margin
  }

  get hasSuccessor(): boolean {
    return this.#tenure.hasSuccessor
  }

  get lag(): ReadonlyMap<ReplicaId, number> {
    const { ledger, reigns, options } = this.#ground
    const backups = reigns.current.inSync.filter(({ replica }) => replica !== options.replica)
    return new Map(
      backups.map((life) => [
        life.replica,
        Math.max(0, ledger.history.last - (this.#followers.get(life)?.acknowledged ?? 0)),
      ]),
    )
  }

  /** A client's question, which names this epoch. */
  ask(question: Exclude<Question, { _tag: "Locate" }>): void {
    const envelope = envelopeOf(question.client, question.envelope)
    if (envelope === undefined) return
    // what comes while this primary steps down is for the next one, or waits until that has failed
    if (this.#tenure.isEnding) return this.#hold(question)
    if (envelope._tag === "Opening") return this.#open(envelope)
    if (question._tag === "Read" || isQuery(envelope, this.#ground.options.definitions))
      return this.#read(envelope)
    this.#execute(envelope, question)
  }

  executed(executed: Executed): void {
    const then = this.#executing.get(executed.token)
    this.#executing.delete(executed.token)
    then?.(executed)
  }

  hear(from: ReplicaId, message: Acknowledgement): void {
    this.#followers.hear(from, message)
    this.#moveOn()
  }

  /** Something came to the disk. */
  journaled(): void {
    this.#moveOn()
  }

  /** The log shows a renewal of this primary. */
  renewed(): void {
    this.#tenure.renewed()
    this.#notices.inSync()
    this.#goOn()
    this.#moveOn()
  }

  /** The replica that is to be the next primary; whoever has most, without a name. Nothing new begins here from now on. */
  handOver(to: ReplicaId | undefined): void {
    this.#tenure.handOver(to)
    this.#moveOn()
  }

  tick(): void {
    const { nowMs, ledger } = this.#ground
    this.#tenure.tick()
    this.#goOn()
    if (this.#tenure.isHealthy && nowMs - this.#beatAtMs >= BEAT_MS) {
      this.#beatAtMs = nowMs
      this.#followers.announce(this.#peers)
      this.#followers.beat(ledger.committed, this.#isFresh)
    }
    this.#moveOn()
  }

  /** Another one is the primary. */
  end(why: Departure): void {
    this.#followers.end(why)
  }

  /** What waited for it to step down. */
  get held(): ReadonlyArray<Exclude<Question, { _tag: "Locate" }>> {
    return this.#held
  }

  /** Whether a batch that was meant for this primary was never begun: where it has ended, that is for good. */
  isUntouched(client: ClientId, envelope: Uint8Array): boolean {
    const batch = envelopeOf(client, envelope)
    if (batch === undefined || batch._tag === "Opening") return true
    return !this.#underway.has(keyOf(batch)) && this.#ground.ledger.look(batch)._tag === "Fresh"
  }

  /** Whether everything that was ever acknowledged stands at or below what it calls acknowledged; not so until it has caught up with its predecessor. */
  get #isFresh(): boolean {
    return this.leased && this.#ground.ledger.committed >= this.#ground.reigns.current.start
  }

  get #peers(): ReadonlyArray<ReplicaId> {
    const { voters, standbys } = this.#ground.reigns.roster
    return [...voters, ...standbys]
  }

  #open(opening: Opening): void {
    const key = keyOf({ client: opening.client, session: 0, number: opening.number })
    if (this.#underway.has(key)) return
    const refusal = this.#refusal()
    if (refusal !== undefined) return this.#refuse(opening.client, opening.number, refusal)
    const position = this.#ground.ledger.history.last + 1
    this.#underway.set(key, { batch: NO_BATCH, position })
    this.#record({
      position,
      epoch: this.epoch,
      client: opening.client,
      session: SessionId(position),
      number: opening.number,
      count: 0,
      settledBelow: 0,
      traces: [],
      outcomes: Buffer.alloc(0),
      rows: [],
    })
  }

  #execute(batch: Batch, question: Exclude<Question, { _tag: "Locate" | "Read" }>): void {
    const { client, number } = batch
    const how = question._tag
    const key = keyOf(batch)
    if (this.#underway.has(key)) return // its answer comes
    const found = this.#ground.ledger.look(batch)
    if (found._tag === "Answered") {
      const { seq: position, outcomes } = found.answer
      return this.#answer(client, { batch, position, outcomes })
    }
    if (found._tag === "Settled") return
    if (how === "LookUp" && found._tag === "Fresh")
      return this.#reply(client, { _tag: "Unrecorded", epoch: this.epoch, number })
    // its session may be among what another primary has acknowledged, before this one or after it; one that stands here was forgotten
    const isUnknown =
      found._tag === "Expired" && !this.#isFresh && batch.session > this.#ground.ledger.committed
    if (isUnknown && (how === "LookUp" || this.#refusal() === undefined)) return this.#hold(question)
    if (found._tag !== "Fresh" && !isUnknown)
      return this.#answer(client, { batch, position: 0, outcomes: refusals(batch, found._tag) })
    const isDone = how === "Execute" && this.#refused.has(key) // its caller has been told so
    const refusal = isDone ? REFUSED_BEFORE : this.#refusal()
    if (refusal !== undefined) {
      if (how === "Execute") this.#refused.add(key)
      return this.#refuse(client, number, refusal)
    }
    const underway: Underway = { batch, position: 0 }
    this.#underway.set(key, underway)
    this.#launch(batch, "command", ({ outcomes, rows }, actors) => {
      const { history } = this.#ground.ledger
      underway.position = history.last + 1
      this.#record({
        position: underway.position,
        epoch: this.epoch,
        client,
        session: batch.session,
        number,
        count: batch.commands.length,
        settledBelow: batch.settledBelow,
        traces: batch.traces,
        outcomes,
        rows: changedRows(actors, rows),
      })
    })
  }

  #read(batch: Batch): void {
    if (this.#executing.size + this.#reads.length >= EXECUTING_MAX)
      return this.#refuse(batch.client, batch.number, BUSY)
    this.#launch(batch, "query", ({ outcomes }) => {
      const position = this.#ground.ledger.history.last
      const reply = answerTo(batch, this.epoch, position)
      this.#reads.push({ position, client: batch.client, reply, outcomes })
      this.#moveOn()
    })
  }

  /** Runs the batch when its turn has come, on what the actors are then. */
  #launch(
    batch: Batch,
    kind: "command" | "query",
    then: (executed: Executed, actors: Work["actors"]) => void,
  ): void {
    const { actors, commands } = workOf(batch)
    const token = ++this.#ground.executions
    const { client, session, number } = batch
    let turn: ReturnType<Turns["add"]> | undefined
    // an execution that ends at once ends after it has begun
    this.#executing.set(token, (executed) => {
      this.#ground.executed += batch.commands.length
      then(executed, actors)
      turn?.end()
    })
    turn = this.#turns.add({
      actors,
      begin: () => {
        const { ledger, say } = this.#ground
        const rows = actors.map(({ type, key, id }) => ({ type, key, id, row: ledger.row(id, "all") }))
        say({ _tag: "Execute", execution: { token, client, session, number, actors: rows, commands, kind } })
      },
    })
  }

  #record(record: JournalRecord): void {
    const { ledger, say } = this.#ground
    say(ledger.append([{ record, bytes: encodeRecord(record) }]))
    ledger.show(record)
    this.#followers.recorded(record)
    this.#followers.ship(ledger.committed, this.#isFresh)
    this.#moveOn()
  }

  /** Acknowledges what enough replicas hold, and lets go what waits for that. */
  #moveOn(): void {
    const { ledger } = this.#ground
    for (const { record, answer } of ledger.commit(this.#tenure.acknowledged())) {
      this.#underway.delete(keyIn(record))
      if (this.#tenure.isDegraded) this.#ground.degradedCommands += record.count
      const { client, count } = record
      const { session, number, outcomes, seq: position } = answer
      const { epoch } = this
      const reply: Reply = { _tag: "Answered", epoch, session, number, count, position }
      this.#reply(client, reply, outcomes)
    }
    if (this.leased) {
      const ready = this.#reads.filter((read) => read.position <= ledger.committed)
      this.#reads = this.#reads.filter((read) => read.position > ledger.committed)
      for (const { client, reply, outcomes } of ready) this.#reply(client, reply, outcomes)
    }
    if (this.#isFresh) {
      this.#notices.serves()
      this.#goOn()
    }
    this.#followers.ship(ledger.committed, this.#isFresh)
    this.#tenure.moveOn({ isBusy: this.#executing.size > 0 })
  }

  #hold(question: Exclude<Question, { _tag: "Locate" }>): void {
    if (this.#held.length < EXECUTING_MAX) this.#held.push(question)
  }

  /** Where it does not step down after all, or has caught up, what waited for that goes on. */
  #goOn(): void {
    if (this.#tenure.isEnding || this.#held.length === 0) return
    const held = this.#held
    this.#held = []
    for (const question of held) this.ask(question)
  }

  /** Why nothing more is begun just now. */
  #refusal(): { readonly reason: "NotEnoughReplicas" | "Overloaded"; readonly detail: string } | undefined {
    const { ledger, rules, nowMs } = this.#ground
    if (this.#executing.size >= EXECUTING_MAX) return BUSY
    if (ledger.history.last - ledger.committed >= UNACKNOWLEDGED_MAX) return BUSY
    if (nowMs - this.#sinceMs < rules.backupTimeoutMs) return undefined // nobody can have been heard yet
    const detail = this.#tenure.shortage
    return detail === undefined ? undefined : { reason: "NotEnoughReplicas", detail }
  }

  #refuse(
    client: ClientId,
    number: number,
    refusal: { readonly reason: "NotEnoughReplicas" | "Overloaded"; readonly detail: string },
  ): void {
    this.#reply(client, { _tag: "Refused", epoch: this.epoch, number, ...refusal })
  }

  #answer(
    client: ClientId,
    answer: { readonly batch: Batch; readonly position: number; readonly outcomes: Buffer },
  ): void {
    this.#reply(client, answerTo(answer.batch, this.epoch, answer.position), answer.outcomes)
  }

  #reply(client: ClientId, reply: Reply, outcomes: Buffer = NOTHING): void {
    const { options, say } = this.#ground
    for (const bytes of encodeVote(options.replica, encodeReply(reply), outcomes))
      say({ _tag: "Send", to: client, bytes })
  }
}

/** How often backups hear of their primary, milliseconds. */
const BEAT_MS = 100
const NOTHING = Buffer.alloc(0)
const NO_BATCH: Batch = {
  _tag: "Batch",
  client: "none" as ClientId, // stands for batches that nobody looks into
  session: SessionId(0),
  number: 0,
  settledBelow: 0,
  traces: [],
  methods: [],
  commands: [],
}
const BUSY = { reason: "Overloaded", detail: "the primary has too much to do" } as const
const REFUSED_BEFORE = {
  reason: "Overloaded",
  detail: "the primary has refused this batch before",
} as const

function answerTo(batch: Batch, epoch: number, position: number): Reply {
  const { session, number, commands } = batch
  return { _tag: "Answered", epoch, session, number, count: commands.length, position }
}
