import type { Executed } from "@lockstep/actor"
import { encodeBid, encodeVote, Malformed, type ReplicaId } from "@lockstep/core"
import type { Ground } from "./ground.ts"
import { encodeAcknowledgement, type Ship } from "./message.ts"
import { decodeRecord } from "./record.ts"
import { encodeReply, type Question, type Reply } from "./request.ts"
import { Turns } from "./turns.ts"
import { envelopeOf, isQuery, workOf } from "./work.ts"

/** How often a backup says how far it is, and bids again, milliseconds. */
const SAY_MS = 100
/** A lease that is over for so many times its length is over, whatever its primary says: it does not get through to the log. */
const PATIENCE = 10
/** Queries that are executed here at a time, at most. */
const READS_MAX = 4096

/** Why a backup cannot go on with what it has. */
export type Need = { readonly from: ReplicaId; readonly checkpoint: number | undefined }

/** A replica that is not the primary: it keeps what the primary ships, answers queries that may be old, and offers to take over. */
export class Backup {
  readonly #ground: Ground
  readonly #turns = new Turns()
  readonly #executing = new Map<number, (executed: Executed) => void>()
  /** The epoch whose history this replica has; its acknowledgements count in that one. */
  #aligned: { readonly epoch: number; readonly primary: ReplicaId } | undefined
  /** After this renewal of this epoch it has offered to take over: nothing is acknowledged to that primary any more. */
  #promise: { readonly epoch: number; readonly after: number } | undefined
  #heardAtMs: number
  /** When it did hear of one; before that, when it first offered to take over. */
  #silentSinceMs: number | undefined
  /** When the log was read that somebody has the lease. */
  #leaseAtMs: number
  #saidAtMs = Number.NEGATIVE_INFINITY
  #bidAtMs = Number.NEGATIVE_INFINITY
  /** Everything that was acknowledged at this time, by this replica's clock, stands at or below this position. */
  #fresh = { atMs: Number.NEGATIVE_INFINITY, position: 0 }
  /** What it waits for, to be as fresh as that. */
  #fresher: { readonly atMs: number; readonly position: number } | undefined

  constructor(ground: Ground) {
    this.#ground = ground
    this.#heardAtMs = this.#leaseAtMs = ground.nowMs
  }

  /** When it last heard of a primary; where it heard of none, when it first offered to be it. */
  get silentSinceMs(): number {
    return this.#silentSinceMs ?? this.#ground.nowMs
  }

  /** The log names another primary, or the same one has renewed its lease. */
  reigned(change: "elected" | "renewed"): void {
    this.#leaseAtMs = this.#ground.nowMs
    if (change === "renewed") return
    this.#heardAtMs = this.#ground.nowMs
    this.#disown()
  }

  /** What the primary ships. What it needs instead, if that is of no use. */
  hear(from: ReplicaId, ship: Ship): Need | undefined {
    const { reigns, nowMs, ledger, life } = this.#ground
    const { epoch, master } = reigns.current
    const isPrimary = master?.replica === from && master.incarnation === ship.incarnation
    if (ship.epoch !== epoch || !isPrimary) return undefined
    this.#heardAtMs = this.#silentSinceMs = nowMs
    if (this.#hasPromised) return undefined
    // what an earlier life was told may be less than what that one acknowledged
    if (ship.to !== life.incarnation) {
      this.#say()
      return undefined
    }
    if (this.#aligned?.epoch !== epoch) {
      const agreed = ledger.history.agreement(ship.spans)
      const isLost = agreed === undefined || agreed < ledger.committed
      if (isLost) return { from, checkpoint: ship.checkpoint }
      this.#truncate(agreed)
      this.#aligned = { epoch, primary: from }
      this.#say()
    }
    if (ship.first > ledger.history.last + 1) return { from, checkpoint: ship.checkpoint }
    this.#take(ship)
    this.#commit(Math.min(ship.committed, ledger.history.last))
    if (ship.fresh && ship.echo > this.#fresh.atMs)
      this.#fresher = { atMs: ship.echo, position: ship.committed }
    this.#refresh()
    return undefined
  }

  journaled(): void {
    this.#say()
  }

  /** Its process is to end. */
  leave(): void {
    this.#say()
  }

  tick(): void {
    const { nowMs } = this.#ground
    if (nowMs - this.#saidAtMs >= SAY_MS) this.#say()
    if (this.#suspects() && nowMs - this.#bidAtMs >= SAY_MS) this.#bid()
  }

  /** A query that may be old. */
  ask(question: Question & { readonly _tag: "Read" }): void {
    const { client, maxStalenessMs, atLeast } = question
    const batch = envelopeOf(client, question.envelope)
    const { options, nowMs, ledger, say, reigns } = this.#ground
    if (batch?._tag !== "Batch" || !isQuery(batch, options.definitions)) return
    const isFresh = nowMs - this.#fresh.atMs <= (maxStalenessMs ?? -1) && ledger.committed >= atLeast
    const { epoch } = reigns.current
    if (!isFresh || this.#executing.size >= READS_MAX)
      return this.#reply(client, { _tag: "Stale", epoch, number: batch.number }, NOTHING)
    const { actors, commands } = workOf(batch)
    const token = ++this.#ground.executions
    const { session, number } = batch
    let turn: ReturnType<Turns["add"]> | undefined
    let position = 0
    this.#executing.set(token, ({ outcomes }) => {
      const count = batch.commands.length
      this.#reply(client, { _tag: "Answered", epoch, session, number, count, position }, outcomes)
      turn?.end()
    })
    turn = this.#turns.add({
      actors,
      begin: () => {
        position = ledger.committed
        const rows = actors.map(({ type, key, id }) => ({ type, key, id, row: ledger.row(id, "committed") }))
        const kind = "query"
        say({ _tag: "Execute", execution: { token, client, session, number, actors: rows, commands, kind } })
      },
    })
  }

  executed(executed: Executed): void {
    const then = this.#executing.get(executed.token)
    this.#executing.delete(executed.token)
    then?.(executed)
  }

  get #hasPromised(): boolean {
    const { epoch, number } = this.#ground.reigns.current
    return this.#promise?.epoch === epoch && this.#promise.after === number
  }

  #take(ship: Ship): void {
    const { ledger, say } = this.#ground
    const { last } = ledger.history
    if (ship.from > last + 1 || ship.from + ship.records.length <= last + 1) return
    try {
      const records = ship.records.slice(last + 1 - ship.from)
      say(ledger.append(records.map((bytes) => ({ record: decodeRecord(bytes), bytes }))))
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
    }
  }

  #commit(position: number): void {
    const { ledger } = this.#ground
    for (const _ of ledger.commit(position)) void _
  }

  #refresh(): void {
    const { ledger } = this.#ground
    if (this.#fresher === undefined || ledger.committed < this.#fresher.position) return
    this.#fresh = this.#fresher
    this.#fresher = undefined
  }

  /** How far this replica is: to the primary, and where nobody knows who that is, to nobody. */
  #say(): void {
    const { reigns, ledger, life, nowMs, say } = this.#ground
    const { epoch, master } = reigns.current
    if (master === undefined || master.replica === life.replica || this.#hasPromised) return
    this.#saidAtMs = nowMs
    const isAligned = this.#aligned?.epoch === epoch
    const bytes = encodeAcknowledgement({
      incarnation: life.incarnation,
      epoch: isAligned ? epoch : 0,
      position: ledger.durable,
      received: ledger.history.last,
      log: ledger.shelved.log,
      clock: nowMs,
      leaving: this.#ground.isLeaving,
    })
    say({ _tag: "Tell", to: master.replica, bytes })
  }

  /** Whether it is time to take over, as far as this replica can know; whether it is, the log's time decides. */
  #suspects(): boolean {
    const { reigns, rules, nowMs, life } = this.#ground
    const { epoch, master, inSync } = reigns.current
    // also one that an operator has removed, until a primary has said that it is not needed: it may hold what others do not
    if (this.#ground.isLeaving || !inSync.some(({ replica }) => replica === life.replica)) return false
    if (epoch === 0) return true
    const leaseMs = nowMs - this.#leaseAtMs
    if (leaseMs < rules.leaseMs) return false
    // an earlier life of this replica is silent for good
    const isSilent = master?.replica === life.replica || nowMs - this.#heardAtMs >= rules.leaseMs * 0.75
    return isSilent || leaseMs > rules.leaseMs * PATIENCE
  }

  /**
   * What earlier masters made beyond where this one began is not the group's, whatever becomes of it: callers may have been told that it was not
   * executed. (What a disk brought back is looked at before it is offered.)
   */
  #disown(): void {
    const { epoch, start } = this.#ground.reigns.current
    const { history, committed } = this.#ground.ledger
    if (history.lastEpoch < epoch && history.last > start && start >= committed) this.#truncate(start)
  }

  #truncate(position: number): void {
    const { ledger, say } = this.#ground
    const { last } = ledger.history
    if (position >= last) return
    this.#ground.truncated += last - position
    say(ledger.truncate(position))
  }

  #bid(): void {
    this.#disown()
    const { reigns, ledger, life, nowMs, rules, say } = this.#ground
    const { epoch, number } = reigns.current
    this.#bidAtMs = nowMs
    this.#silentSinceMs ??= nowMs
    this.#promise = { epoch, after: number }
    // what it offers must be there after a power failure
    if (ledger.durable < ledger.history.last) return
    // an asynchronous group elects at the first bid after a short time
    if (reigns.hasBid(life) && rules.replication !== "asynchronous") return
    const { last, lastEpoch } = ledger.history
    const bid = { bidder: life, epoch: epoch + 1, after: number, lastEpoch, position: last }
    say({ _tag: "Attest", bytes: encodeBid(bid) })
  }

  #reply(client: Question["client"], reply: Reply, outcomes: Buffer): void {
    const { options, say } = this.#ground
    for (const bytes of encodeVote(options.replica, encodeReply(reply), outcomes))
      say({ _tag: "Send", to: client, bytes })
  }
}

const NOTHING = Buffer.alloc(0)
