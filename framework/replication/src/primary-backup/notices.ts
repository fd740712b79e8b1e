import type { Life } from "@lockstep/core"
import type { Departure, Succession } from "../reign.ts"
import type { Followers } from "./followers.ts"
import type { Ground } from "./ground.ts"
import { isSame, type Reign } from "./reigns.ts"
import { reignReport } from "./reign-report.ts"

/** How a replica became the primary. */
export interface Accession extends Pick<Succession, "cause"> {
  /** The reign before. */
  readonly before: Reign
  /** Since when this replica has heard of no primary, by its own clock. */
  readonly silentSinceMs: number
}

/** What a primary has to tell operators: who is in sync, and that it serves. */
export class Notices {
  readonly #ground: Ground
  readonly #followers: Followers
  readonly #accession: Accession
  /** Who is in sync, as it was told last. */
  #inSync: ReadonlyArray<Life>
  #hasServed = false

  constructor(ground: Ground, followers: Followers, accession: Accession) {
    this.#ground = ground
    this.#followers = followers
    this.#accession = accession
    const { before, cause } = accession
    // before the first one nobody had anything to be in sync with
    this.#inSync = cause === "first" ? ground.reigns.current.inSync : before.inSync
    if (cause !== "first") this.inSync(() => cause)
  }

  /** The log says, perhaps, that others are in sync than before. */
  inSync(reasonOf = (life: Life): Departure => this.#reasonOf(life)): void {
    const { inSync: now, epoch } = this.#ground.reigns.current
    const before = this.#inSync
    const joined = missing(before, now)
    const left = missing(now, before).map((life) => ({ life, reason: reasonOf(life) }))
    if (joined.length === 0 && left.length === 0) return
    this.#inSync = now
    for (const { life, reason } of left) this.#followers.left(life, reason)
    const { inSync, acknowledgements, degraded } = reignReport(this.#ground)
    this.#ground.say({
      _tag: "Notice",
      notice: {
        event: "in-sync",
        epoch,
        inSync,
        acknowledgements,
        degraded,
        joined: joined.map(({ replica }) => replica),
        left: left.map(({ life: { replica }, reason }) => ({ replica, reason })),
      },
    })
  }

  /** It answers everything from here on. */
  serves(): void {
    if (this.#hasServed) return
    this.#hasServed = true
    const { nowMs, reigns, say } = this.#ground
    const { epoch, lossWindow } = reigns.current
    const { cause, before, silentSinceMs } = this.#accession
    const about = { epoch, lossWindow, cause, before: before.master?.replica }
    say({ _tag: "Notice", notice: { event: "serves", ...about, silentMs: nowMs - silentSinceMs } })
  }

  #reasonOf(life: Life): Departure {
    if (!this.#ground.reigns.roster.voters.includes(life.replica)) return "removed"
    const follower = this.#followers.get(life)
    if (follower?.isLeaving === true) return "leaving"
    return follower === undefined && this.#followers.isThere(life.replica) ? "restarted" : "late"
  }
}

/** Those of the others that are not among these. */
function missing(these: ReadonlyArray<Life>, others: ReadonlyArray<Life>): ReadonlyArray<Life> {
  return others.filter((other) => !these.some((life) => isSame(life, other)))
}
