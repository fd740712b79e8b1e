import type { Life } from "@lockstep/core"
import { acknowledged, type Followers, heldBy } from "./followers.ts"
import type { Ground } from "./ground.ts"
import { isSame, type Reign } from "./reigns.ts"

/** Whom a primary calls in sync: those who keep up. It is said in the log before it counts. */
export class InSync {
  readonly #ground: Ground
  readonly #followers: Followers
  /** When the primary began: before, nobody can have been heard. */
  readonly #sinceMs: number
  /** What the log may lose as soon as it shows what this primary has said. */
  #below = 0

  constructor(ground: Ground, followers: Followers) {
    this.#ground = ground
    this.#followers = followers
    this.#sinceMs = ground.nowMs
  }

  /** Who is, as far as this primary knows now; itself first. */
  next(): ReadonlyArray<Life> {
    const { reigns, life } = this.#ground
    const joining = [...this.#followers.all].filter((follower) => this.#hasCaughtUp(follower.life))
    const inSync = [life, ...joining.map((follower) => follower.life)]
    const late: Array<Life> = []
    for (const other of reigns.current.inSync) {
      if (inSync.some(({ replica }) => replica === other.replica)) continue
      if (!reigns.roster.voters.includes(other.replica) || this.#isLate(other)) late.push(other)
      else inSync.push(other)
    }
    // below the minimum nothing is acknowledged anyway: whoever is named may be elected, and may come back
    if (inSync.length >= this.#sizeMin && this.#holdAll(inSync)) return inSync
    return [...inSync, ...late]
  }

  /** Whether somebody joins or leaves. */
  isOther({ inSync }: Pick<Reign, "inSync">): boolean {
    const next = this.next()
    return next.length !== inSync.length || !next.every((life) => inSync.some((other) => isSame(other, life)))
  }

  /** Why writes are refused, if they are. */
  get shortage(): string | undefined {
    const { rules, reigns, nowMs } = this.#ground
    const heard = [...this.#followers.all].filter(
      ({ life, heardAtMs }) =>
        reigns.roster.voters.includes(life.replica) && nowMs - heardAtMs <= rules.backupTimeoutMs,
    ).length
    if (1 + heard >= this.#sizeMin) return undefined
    return rules.replication === "synchronous"
      ? `${1 + heard} replicas are in sync, and inSyncMin is ${rules.inSyncMin}`
      : `${heard} backups are there, and a write is acknowledged by ${rules.acknowledgements}`
  }

  /** How many of those in sync, this primary among them, are there beyond those without whom writes are refused, or nobody is left. */
  get margin(): number {
    const { reigns, rules, nowMs, life } = this.#ground
    const isThere = (other: Life): boolean => {
      const follower = this.#followers.get(other)
      return follower?.isLeaving === false && nowMs - follower.heardAtMs <= rules.backupTimeoutMs
    }
    return (
      reigns.current.inSync.filter((other) => isSame(other, life) || isThere(other)).length - this.#sizeMin
    )
  }

  /** Nobody in sync needs the log below this position: that is what the next renewal says, and so it is remembered. */
  logBelow(inSync: ReadonlyArray<Life>): number {
    const { ledger, life } = this.#ground
    const others = inSync.filter((other) => !isSame(other, life))
    const below = Math.min(ledger.shelved.log, ...others.map((other) => this.#followers.get(other)?.log ?? 0))
    this.#below = Math.max(this.#below, below)
    return below
  }

  /** Whether what is acknowledged is held by as many of these as the rules ask for: then the others are not needed. */
  #holdAll(inSync: ReadonlyArray<Life>): boolean {
    const { ledger, reigns, options } = this.#ground
    const acknowledgements = reigns.acknowledgementsFor(inSync.length)
    const at = (life: Life): number => heldBy(this.#followers.get(life))
    const needed = Math.max(ledger.committed, reigns.current.start)
    const held = { here: needed, master: options.replica, at }
    return acknowledged({ inSync, acknowledgements }, held) >= needed
  }

  get #sizeMin(): number {
    const { replication, inSyncMin, below, acknowledgements } = this.#ground.rules
    if (replication === "synchronous") return inSyncMin
    return below === "refuse" ? acknowledgements + 1 : 1
  }

  /** Whether it surely holds everything that was acknowledged; up to where this primary began, any of it may have been, by another one. */
  #hasCaughtUp(life: Life): boolean {
    const { ledger, reigns, nowMs, rules } = this.#ground
    const follower = this.#followers.get(life)
    return (
      follower?.isAligned === true &&
      !follower.isLeaving &&
      reigns.roster.voters.includes(life.replica) &&
      !reigns.isInSync(life) &&
      follower.acknowledged >= Math.max(ledger.committed, reigns.current.start) &&
      follower.log >= Math.max(this.#below, reigns.current.logBelow) &&
      nowMs - follower.heardAtMs <= rules.backupTimeoutMs
    )
  }

  #isLate(life: Life): boolean {
    const { nowMs, rules, reigns } = this.#ground
    const follower = this.#followers.get(life)
    if (follower?.isLeaving === true || (follower === undefined && reigns.isSilent(life))) return true
    const sinceMs =
      follower === undefined ? this.#sinceMs : Math.min(follower.heardAtMs, follower.progressAtMs)
    return nowMs - Math.max(sinceMs, this.#sinceMs) > rules.backupTimeoutMs
  }
}
