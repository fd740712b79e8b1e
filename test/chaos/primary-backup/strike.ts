import { setTimeout as sleep } from "node:timers/promises"
import type { Random } from "@lockstep/testing"
import { handOver } from "lockstep"
import { NAMES, type Primary, type Site } from "./site.ts"

/**
 * What happens to the primary. `aheadMs`: for so long before, the backups are told nothing, and never get what was under way to them: what the
 * primary does then, nobody else has.
 */
export type Strike =
  /** SIGKILL, and started again after this time. */
  | { readonly _tag: "killed"; readonly forMs: number; readonly aheadMs: number }
  /** SIGSTOP for this time: shorter or longer than its lease. */
  | { readonly _tag: "paused"; readonly forMs: number; readonly aheadMs: number }
  /** SIGTERM, and started again after this time. */
  | { readonly _tag: "stopped"; readonly forMs: number }
  /** An operator makes another replica the primary: the first or the second of the others. */
  | { readonly _tag: "handed over"; readonly to: 0 | 1 }

/** Whether it counts as a strike of those that were asked for. The others come on top. */
export function isViolent({ _tag }: Strike): boolean {
  return _tag === "killed" || _tag === "paused"
}

/** Draws one; the same seed draws the same ones. */
export function drawStrike(random: Random): Strike {
  const _tag = random.pick([...KILLS, ...PAUSES, "stopped", "handed over"] as const)
  switch (_tag) {
    case "killed":
      return { _tag, forMs: random.integer(0, AWAY_MS_MAX), aheadMs: drawAhead(random) }
    case "stopped":
      return { _tag, forMs: random.integer(0, AWAY_MS_MAX) }
    case "paused": {
      const longer = Math.min(PAUSE_MS.max - PAUSE_MS.min, random.exponential(PAUSE_MS.mean))
      return { _tag, forMs: Math.round(PAUSE_MS.min + longer), aheadMs: drawAhead(random) }
    }
    case "handed over":
      return { _tag, to: random.pick([0, 1] as const) }
  }
}

/** By what strikes are counted: "killed ahead". */
export function kindOf(strike: Strike): string {
  return "aheadMs" in strike && strike.aheadMs > 0 ? `${strike._tag} ahead` : strike._tag
}

/** In words: "r1 paused for 1.2 s, 0.3 s ahead of all others". */
export function describe(strike: Strike, primary: string): string {
  if (strike._tag === "handed over") return `${primary} hands over to ${successorOf(primary, strike.to)}`
  const lead = "aheadMs" in strike && strike.aheadMs > 0 ? `, ${inSeconds(strike.aheadMs)} ahead` : ""
  return `${primary} ${strike._tag} for ${inSeconds(strike.forMs)}${lead}`
}

/** Strikes, lasts, and heals what it did. What the group makes of it is not waited for. */
export async function inflict(site: Site, { process }: Primary, strike: Strike): Promise<void> {
  switch (strike._tag) {
    case "killed":
      await ahead(site, process, strike.aheadMs, () => process.kill())
      await sleep(strike.forMs)
      return process.spawn()
    case "paused":
      await ahead(site, process, strike.aheadMs, () => process.pause())
      await sleep(strike.forMs)
      return process.resume()
    case "stopped": {
      const code = await process.stop()
      if (code !== 0) throw new Error(`${process.replica} ended with ${code} after SIGTERM`)
      await sleep(strike.forMs)
      return process.spawn()
    }
    case "handed over":
      await handOver({ servers: site.urls, to: successorOf(process.replica, strike.to) })
  }
}

/** Does it while the others have not heard of the primary for a while. */
async function ahead(
  site: Site,
  primary: Primary["process"],
  aheadMs: number,
  act: () => Promise<void> | void,
): Promise<void> {
  if (aheadMs === 0) return act()
  const others = NAMES.filter((name) => name !== primary.replica)
  for (const name of others) site.deafen(name)
  await sleep(aheadMs)
  await act()
  for (const name of others) site.reconnect(name)
}

function drawAhead(random: Random): number {
  if (random.chance(0.4)) return 0
  const { min, max } = random.pick([AHEAD_UNSAID_MS, AHEAD_UNSAID_MS, AHEAD_MS])
  return random.integer(min, max)
}

function inSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function successorOf(primary: string, to: 0 | 1): string {
  return NAMES.filter((name) => name !== primary)[to] ?? primary
}

/** As often as they are named. */
const KILLS = ["killed", "killed", "killed", "killed", "killed", "killed"] as const
const PAUSES = ["paused", "paused", "paused", "paused", "paused", "paused"] as const
const AWAY_MS_MAX = 1500
/** For less, and for more than a backup may take before it is out. */
const AHEAD_MS = { min: 250, max: 700 }
/** So short that the log may not say yet what was acknowledged then: a primary that acknowledges too early is saved by nothing else. */
const AHEAD_UNSAID_MS = { min: 20, max: 250 }
const PAUSE_MS = { min: 500, mean: 1000, max: 4000 }
