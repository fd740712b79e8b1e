import { setTimeout as sleep } from "node:timers/promises"
import type { Random } from "@lockstep/testing"
import { handOver } from "lockstep"
import { NAMES, type Primary, type Site } from "./site.ts"

/** What happens to the primary. */
export type Strike =
  /** SIGKILL, and started again after this time. */
  | { readonly _tag: "killed"; readonly forMs: number }
  /** SIGSTOP for this time: shorter or longer than its lease. */
  | { readonly _tag: "paused"; readonly forMs: number }
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
    case "stopped":
      return { _tag, forMs: random.integer(0, AWAY_MS_MAX) }
    case "paused": {
      const longer = Math.min(PAUSE_MS.max - PAUSE_MS.min, random.exponential(PAUSE_MS.mean))
      return { _tag, forMs: Math.round(PAUSE_MS.min + longer) }
    }
    case "handed over":
      return { _tag, to: random.pick([0, 1] as const) }
  }
}

/** In words: "r1 paused for 1.2 s". */
export function describe(strike: Strike, primary: string): string {
  return strike._tag === "handed over"
    ? `${primary} hands over to ${successorOf(primary, strike.to)}`
    : `${primary} ${strike._tag} for ${(strike.forMs / 1000).toFixed(1)} s`
}

/** Strikes, lasts, and heals what it did. What the group makes of it is not waited for. */
export async function inflict(site: Site, { process }: Primary, strike: Strike): Promise<void> {
  switch (strike._tag) {
    case "killed":
      await process.kill()
      await sleep(strike.forMs)
      return process.spawn()
    case "paused":
      process.pause()
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

function successorOf(primary: string, to: 0 | 1): string {
  return NAMES.filter((name) => name !== primary)[to] ?? primary
}

/** As often as they are named. */
const KILLS = ["killed", "killed", "killed", "killed", "killed", "killed"] as const
const PAUSES = ["paused", "paused", "paused", "paused", "paused", "paused"] as const
const AWAY_MS_MAX = 1500
const PAUSE_MS = { min: 500, mean: 1000, max: 4000 }
