import type { Life, ReplicaId } from "@lockstep/core"
import type { Departure } from "../reign.ts"
import type { Ground } from "./ground.ts"
import { type Acknowledgement, encodeShip } from "./message.ts"
import type { JournalRecord } from "./record.ts"
import { isSame, type Reign } from "./reigns.ts"
import { Shipments } from "./shipments.ts"

/** Bytes of one message, about. */
const SHIP_BYTES_MAX = 256 * 1024
/** Records that are under way to one backup, at most, by number and message. */
const UNACKNOWLEDGED_MAX = 8192
/** What a backup should have got is sent again after so long without news, milliseconds. */
const SHIP_AGAIN_MS = 100

/** A backup that is silent for so many times its time-out is as one that was never heard. */
const FORGOTTEN = 10

/** A backup, as the primary knows it. */
export interface Follower {
  readonly life: Life
  /** It has the primary's history up to here, on its disk. */
  acknowledged: number
  /** It was sent all up to here. */
  sent: number
  /** It says that it got all up to here. */
  received: number
  /** The log is on its disk up to here. */
  log: number
  /** Whether it follows this epoch's primary. */
  isAligned: boolean
  heardAtMs: number
  /** When it last got something, had all of it, or was sent the same again. */
  receivedAtMs: number
  /** When it last moved on, or had nothing to move on to. */
  progressAtMs: number
  /** Its own clock. */
  clock: number
  isLeaving: boolean
}

/** The backups of one primary: who has what, and what they are sent. */
export class Followers {
  readonly #ground: Ground
  readonly #epoch: number
  readonly #followers = new Map<ReplicaId, Follower>()
  readonly #shipments: Shipments

  constructor(ground: Ground, epoch: number) {
    this.#ground = ground
    this.#epoch = epoch
    this.#shipments = new Shipments(ground.options.shipments)
  }

  get all(): Iterable<Follower> {
    return this.#followers.values()
  }

  /** The backup, if it is still in this life. */
  get(life: Life): Follower | undefined {
    const follower = this.#followers.get(life.replica)
    return follower?.life.incarnation === life.incarnation ? follower : undefined
  }

  /** Whether it is known, in any life. */
  isThere(replica: ReplicaId): boolean {
    return this.#followers.has(replica)
  }

  /** This primary has made a record: those that are in sync are to have it. */
  recorded(record: JournalRecord): void {
    if (record.traces.length === 0) return
    const { reigns, life } = this.#ground
    this.#shipments.recorded(
      record,
      reigns.current.inSync.filter((other) => !isSame(other, life)),
    )
  }

  /** The log says that it is in sync no more. */
  left(life: Life, why: Departure): void {
    this.#shipments.left(life, why)
  }

  /** Another one is the primary. */
  end(why: Departure): void {
    this.#shipments.end(why)
  }

  hear(from: ReplicaId, message: Acknowledgement): void {
    const { nowMs } = this.#ground
    let follower = this.#followers.get(from)
    if (follower?.life.incarnation !== message.incarnation) {
      const life = { replica: from, incarnation: message.incarnation }
      follower = {
        life,
        acknowledged: 0,
        sent: 0,
        received: 0,
        log: 0,
        isAligned: false,
        heardAtMs: nowMs,
        receivedAtMs: Number.NEGATIVE_INFINITY,
        progressAtMs: nowMs,
        clock: message.clock,
        isLeaving: false,
      }
      this.#followers.set(from, follower)
      this.#shipments.lives(life)
    }
    follower.heardAtMs = nowMs
    follower.clock = Math.max(follower.clock, message.clock)
    follower.isLeaving ||= message.leaving
    follower.log = Math.max(follower.log, message.log)
    if (message.epoch !== this.#epoch) return
    if (!follower.isAligned) {
      follower.isAligned = true
      follower.sent = follower.received = message.received
    }
    if (message.position > follower.acknowledged) {
      follower.acknowledged = message.position
      follower.progressAtMs = nowMs
      this.#shipments.held(follower.life, message.position)
    }
    if (message.received > follower.received) {
      follower.received = message.received
      follower.receivedAtMs = nowMs
    }
    follower.sent = Math.max(follower.sent, follower.received)
  }

  /** What each of them should have by now. */
  ship(committed: number, fresh: boolean): void {
    const { nowMs, ledger } = this.#ground
    const { last } = ledger.history
    for (const follower of this.#followers.values()) {
      if (follower.acknowledged >= last) follower.progressAtMs = nowMs
      const hasAll = follower.isAligned && follower.received >= follower.sent
      const isLate = !hasAll && nowMs - follower.receivedAtMs >= SHIP_AGAIN_MS
      if (hasAll || isLate) follower.receivedAtMs = nowMs
      if (isLate) follower.sent = follower.received
      if (!follower.isAligned) {
        if (isLate) this.#send(follower, [], committed, fresh)
        continue
      }
      while (follower.sent < last && follower.sent - follower.acknowledged < UNACKNOWLEDGED_MAX) {
        const records = ledger.history.from(follower.sent + 1, SHIP_BYTES_MAX)
        if (records.length === 0) break // they are in a checkpoint only
        this.#send(follower, records, committed, fresh)
      }
    }
  }

  /** A sign of life, and of how far all of them may go. */
  beat(committed: number, fresh: boolean): void {
    const { nowMs, rules } = this.#ground
    for (const follower of this.#followers.values()) {
      if (nowMs - follower.heardAtMs <= FORGOTTEN * rules.backupTimeoutMs)
        this.#send(follower, [], committed, fresh)
      else this.#followers.delete(follower.life.replica)
    }
  }

  /** Nobody is known yet: those who vote, and whoever stands by, are told who the primary is. */
  announce(replicas: ReadonlyArray<ReplicaId>): void {
    for (const replica of replicas)
      if (replica !== this.#ground.options.replica && !this.#followers.has(replica))
        this.#ground.say({ _tag: "Tell", to: replica, bytes: this.#ship(undefined, [], 0, false) })
  }

  #send(follower: Follower, records: ReadonlyArray<Buffer>, committed: number, fresh: boolean): void {
    const bytes = this.#ship(follower, records, committed, fresh)
    follower.sent += records.length
    if (records.length > 0) this.#shipments.sent(follower.life, follower.sent)
    this.#ground.say({ _tag: "Tell", to: follower.life.replica, bytes })
  }

  #ship(
    follower: Follower | undefined,
    records: ReadonlyArray<Buffer>,
    committed: number,
    fresh: boolean,
  ): Buffer {
    const { ledger, life } = this.#ground
    const { history, checkpointed } = ledger
    const from = (follower?.sent ?? history.last) + 1
    return encodeShip({
      to: follower?.life.incarnation ?? "",
      incarnation: life.incarnation,
      epoch: this.#epoch,
      committed,
      fresh,
      echo: follower?.clock ?? -1,
      spans: history.spans,
      first: history.first,
      checkpoint: checkpointed,
      from,
      records,
    })
  }
}

/** What counts of a backup: only what it has of this primary's history. */
export function heldBy(follower: Follower | undefined): number {
  return follower?.isAligned === true ? follower.acknowledged : 0
}

/** The position that these rules call acknowledged, when this replica and its backups have what they have. */
export function acknowledged(
  { inSync, acknowledgements }: Pick<Reign, "inSync" | "acknowledgements">,
  held: { readonly here: number; readonly master: ReplicaId; at(life: Life): number },
): number {
  if (acknowledgements === 0) return held.here
  const others = inSync
    .filter(({ replica }) => replica !== held.master)
    .map((life) => held.at(life))
    .toSorted((a, b) => b - a)
  return Math.min(held.here, others[acknowledgements - 1] ?? 0)
}
