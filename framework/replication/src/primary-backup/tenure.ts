import { encodeRenewal, type Life, type ReplicaId } from "@lockstep/core"
import { acknowledged, type Followers, heldBy } from "./followers.ts"
import type { Ground } from "./ground.ts"
import { InSync } from "./in-sync.ts"
import type { Reign } from "./reigns.ts"

/** Positions that an asynchronous primary may acknowledge beyond what it says in the log, at least. */
const HORIZON_MIN = 16
/** Renewals for the sake of the horizon are so far apart, at least, milliseconds. */
const HORIZON_MS = 5

/** A renewal that was sent, and that the log has not shown yet. */
interface Proposal extends Pick<Reign, "inSync" | "acknowledgements" | "horizon" | "number"> {
  readonly sentAtMs: number
  /** It names another primary: whether that one has begun is not known before the log shows it. */
  readonly endsReign: boolean
}

/** What a primary says in the log, and what that allows it: to read by itself, to acknowledge, to step down. */
export class Tenure {
  readonly #ground: Ground
  readonly #followers: Followers
  readonly #inSync: InSync
  #proposals: Array<Proposal> = []
  #number = 0
  #renewedAtMs = Number.NEGATIVE_INFINITY
  /** Until when nobody else can be the primary, by this replica's clock. */
  #leaseEndMs = Number.NEGATIVE_INFINITY
  /** How many positions it may go beyond what it has, until the next renewal is seen. */
  #stride = HORIZON_MIN
  #lastAtRenewal: number
  /** When this replica became the primary. */
  readonly #sinceMs: number
  /** Since when something waits for the disk. */
  #stuckSinceMs: number | undefined
  /** Who is to be the next one, as an operator wishes, and until when that is tried. */
  #successor: { readonly replica: ReplicaId; readonly untilMs: number; named: boolean } | undefined

  constructor(ground: Ground, followers: Followers) {
    this.#ground = ground
    this.#followers = followers
    this.#inSync = new InSync(ground, followers)
    this.#lastAtRenewal = ground.ledger.history.last
    this.#sinceMs = ground.nowMs
  }

  /** Whether nobody else can be the primary now. */
  get leased(): boolean {
    return this.#ground.nowMs < this.#leaseEndMs && !this.#mayHaveEnded
  }

  /** It steps down, or tries to, or does not know yet what came of that: nothing new is begun. */
  get isEnding(): boolean {
    return this.#successor !== undefined || this.#mayHaveEnded
  }

  /** A primary whose disk takes nothing must not stay one. */
  get isHealthy(): boolean {
    const { nowMs, rules } = this.#ground
    return nowMs - (this.#stuckSinceMs ?? nowMs) < rules.leaseMs / 2 && this.#successor?.named !== true
  }

  get isDegraded(): boolean {
    const { rules, reigns } = this.#ground
    return (
      rules.replication === "semi-synchronous" && reigns.current.acknowledgements < rules.acknowledgements
    )
  }

  /** Why writes are refused, if they are. */
  get shortage(): string | undefined {
    return this.#inSync.shortage
  }

  /** How many more replicas may fail. */
  get margin(): number {
    return this.#inSync.margin
  }

  /**
   * The position that is acknowledged. Every set that counts, or may count already, must hold it: the one that the log shows, and those that
   * were sent and may be there unseen. An asynchronous primary must have said in the log that it goes so far.
   */
  acknowledged(): number {
    const { ledger, reigns, options, rules } = this.#ground
    const reign = reigns.current
    if (this.#mayHaveEnded) return ledger.committed
    const held = {
      here: ledger.durable,
      master: options.replica,
      at: (life: Life) => heldBy(this.#followers.get(life)),
    }
    const bound = rules.replication === "asynchronous" ? reign.horizon : Number.POSITIVE_INFINITY
    // where an operator has let somebody go, k is what an election needs, and not what a write does
    const shown = {
      inSync: reign.inSync,
      acknowledgements: Math.max(reign.acknowledgements, reigns.acknowledgementsFor(reign.inSync.length)),
    }
    const positions = [shown, ...this.#proposals].map((rule) => acknowledged(rule, held))
    return Math.max(ledger.committed, Math.min(bound, ...positions))
  }

  /** The log shows a renewal of this primary. */
  renewed(): void {
    const { number } = this.#ground.reigns.current
    const { leaseMs, clockErrorMs } = this.#ground.rules
    const shown = this.#proposals.find((proposal) => proposal.number === number)
    if (shown !== undefined)
      this.#leaseEndMs = Math.max(this.#leaseEndMs, shown.sentAtMs + leaseMs - clockErrorMs)
    this.#proposals = this.#proposals.filter((proposal) => proposal.number > number)
  }

  /** Without a name: to the backup that has most. */
  handOver(to = this.#furthest): void {
    const { options, rules, nowMs } = this.#ground
    // operators ask again until it is done
    if (to !== undefined && to !== options.replica && this.#successor === undefined)
      this.#successor = { replica: to, untilMs: nowMs + rules.leaseMs, named: false }
  }

  tick(): void {
    const { nowMs, rules, reigns, options } = this.#ground
    // a renewal that names a successor has no effect once the log shows a later one
    if (this.#successor !== undefined && nowMs > this.#successor.untilMs) this.#successor = undefined
    // an operator has removed this one
    if (!reigns.roster.voters.includes(options.replica) && !this.isEnding) this.handOver()
    const isTime = nowMs - this.#renewedAtMs >= rules.leaseMs / 4
    const latest = this.#proposals.at(-1) ?? this.#ground.reigns.current
    if (this.isHealthy && (isTime || this.#inSync.isOther(latest))) this.#renew()
  }

  /** Something has changed: more is written, held or acknowledged. */
  moveOn({ isBusy }: { readonly isBusy: boolean }): void {
    const { ledger, nowMs } = this.#ground
    if (ledger.durable >= ledger.history.last) this.#stuckSinceMs = undefined
    else this.#stuckSinceMs ??= nowMs
    if (this.#needsHorizon) this.#renew()
    if (!isBusy) this.#stepDown()
  }

  /** Whether somebody stays who could take over, or soon will: also who is not in sync yet, or was not heard of for a moment. */
  get hasSuccessor(): boolean {
    const { reigns, rules, options, nowMs } = this.#ground
    const followers = new Map([...this.#followers.all].map((follower) => [follower.life.replica, follower]))
    return reigns.roster.voters.some((voter) => {
      if (voter === options.replica) return false
      const { isLeaving = false, heardAtMs = this.#sinceMs } = followers.get(voter) ?? {}
      return !isLeaving && nowMs - heardAtMs <= 2 * rules.backupTimeoutMs
    })
  }

  get #furthest(): ReplicaId | undefined {
    const { reigns, rules, nowMs } = this.#ground
    const backups = [...this.#followers.all].filter(
      ({ life, heardAtMs, isLeaving }) =>
        reigns.isInSync(life) && !isLeaving && nowMs - heardAtMs <= rules.backupTimeoutMs / 2,
    )
    return backups.toSorted((a, b) => heldBy(b) - heldBy(a))[0]?.life.replica
  }

  get #mayHaveEnded(): boolean {
    return this.#proposals.some(({ endsReign }) => endsReign)
  }

  get #needsHorizon(): boolean {
    const { rules, ledger, reigns, nowMs } = this.#ground
    if (rules.replication !== "asynchronous" || !this.isHealthy) return false
    const said = Math.max(reigns.current.horizon, ...this.#proposals.map(({ horizon }) => horizon))
    return said - ledger.history.last < this.#stride / 2 && nowMs - this.#renewedAtMs >= HORIZON_MS
  }

  /** Once the successor has everything, the log is told so. What this primary says afterwards counts no more. */
  #stepDown(): void {
    const { ledger, reigns } = this.#ground
    const successor = this.#successor
    if (successor === undefined || successor.named) return
    const { last } = ledger.history
    const life = reigns.current.inSync.find(({ replica }) => replica === successor.replica)
    if (life === undefined || heldBy(this.#followers.get(life)) < last || ledger.committed < last) return
    successor.named = true
    this.#renew(successor.replica)
  }

  #renew(successor?: ReplicaId): void {
    const { ledger, life, reigns, rules, nowMs, say } = this.#ground
    const { last } = ledger.history
    const inSync = this.#inSync.next()
    const acknowledgements = reigns.acknowledgementsFor(inSync.length)
    this.#stride = Math.max(HORIZON_MIN, 4 * (last - this.#lastAtRenewal))
    const horizon = rules.replication === "asynchronous" ? last + this.#stride : last
    const number = ++this.#number
    this.#lastAtRenewal = last
    this.#renewedAtMs = nowMs
    const endsReign = successor !== undefined
    this.#proposals.push({ number, inSync, acknowledgements, horizon, sentAtMs: nowMs, endsReign })
    const renewal = {
      master: life,
      epoch: reigns.current.epoch,
      number,
      leaseMs: rules.leaseMs,
      inSync,
      acknowledgements,
      committed: ledger.committed,
      horizon,
      successor,
      logBelow: this.#inSync.logBelow(inSync),
    }
    say({ _tag: "Attest", bytes: encodeRenewal(renewal) })
  }
}
