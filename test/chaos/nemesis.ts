import type { Random } from "@lockstep/testing"
import { faultsMax } from "./actors.ts"
import type { Scope } from "./network.ts"
import { canFillDisks } from "./replica-store.ts"
import type { BlockDamage, BlockKind } from "./server-store.ts"
import { SERVERS } from "./servers.ts"

/** Who is struck. */
export type Target =
  | { readonly _tag: "Server"; readonly index: number }
  | { readonly _tag: "Replica"; readonly index: number }
  | { readonly _tag: "Client"; readonly index: number }

/** What happens to it, for as long as the fault lasts. */
export type Harm =
  /** SIGKILL, and started again at the end. */
  | { readonly _tag: "Killed" }
  /** SIGSTOP, and SIGCONT at the end. */
  | { readonly _tag: "Paused" }
  /** Its lines are cut, in one direction or in both. */
  | { readonly _tag: "Cut"; readonly scope: Scope; readonly ways: "out" | "in" | "both" }
  /** Its lines are slow and lose pieces. */
  | {
      readonly _tag: "Slowed"
      readonly scope: Scope
      readonly delayMs: number
      readonly loss: number
    }
  /** Its connections are torn, again and again. */
  | { readonly _tag: "Torn"; readonly scope: Scope; readonly everyMs: number }
  /** A replica is killed, and started again on a copy of its store from an earlier time. */
  | { readonly _tag: "RolledBack"; readonly copy: "first" | "last" }
  /** A replica is killed, and started again on its store with flipped bits. */
  | { readonly _tag: "Damaged"; readonly flips: number; readonly seed: number }
  /** A replica is killed, and started again without a store. */
  | { readonly _tag: "Deleted" }
  /** A replica cannot write to its disk. */
  | { readonly _tag: "Full" }
  /** A server is killed, and started again with damaged blocks. It lasts until the log is truncated behind what they held. */
  | {
      readonly _tag: "Corrupted"
      readonly blocks: BlockKind
      readonly damage: BlockDamage
      readonly seed: number
    }

export interface Fault {
  readonly target: Target
  readonly harm: Harm
  readonly durationMs: number
}

/** Faults that last together: at most f replicas and one server are struck in one, the time until they recovered included. */
export type Episode = ReadonlyArray<Fault>

/** Of whom the nemesis may choose. */
export interface Victims {
  readonly clients: ReadonlyArray<unknown>
  readonly replicas: ReadonlyArray<{ readonly replica: string }>
  readonly liar: string | undefined
}

/** How many replicas may be struck at a time, beside the one that lies. */
export function replicasMax({ liar }: Pick<Victims, "liar">): number {
  return faultsMax - (liar === undefined ? 0 : 1)
}

/** Draws one episode; the same seed draws the same ones. */
export function drawEpisode(random: Random, victims: Victims): Episode {
  const struck = victims.replicas.flatMap(({ replica }, index) => (replica === victims.liar ? [] : [index]))
  const replicas = random.shuffle(struck).slice(0, random.integer(0, replicasMax(victims)))
  const hasServer = replicas.length === 0 || random.chance(0.35)
  const client = replicas.length === 0 && random.chance(0.12)
  if (client) return [draw(random, { _tag: "Client", index: random.integer(0, victims.clients.length - 1) })]
  const faults = replicas.map((index) => draw(random, { _tag: "Replica", index }))
  if (!hasServer) return faults
  const server = draw(random, { _tag: "Server", index: random.integer(0, SERVERS - 1) })
  // replicas that halt because of what a damaged server tells them are out as well: no others are struck then
  return server.harm._tag === "Corrupted" ? [server] : [...faults, server]
}

/** In words: "n1 killed for 3.2 s", "r2 cut from all (hears nobody) for 0.7 s". */
export function describe({ target, harm, durationMs }: Fault): string {
  return `${nameOf(target)} ${detail(harm)} for ${(durationMs / 1000).toFixed(1)} s`
}

/** By what faults are counted: "server killed". */
export function kindOf({ target, harm }: Fault): string {
  return `${target._tag.toLowerCase()} ${KINDS[harm._tag]}`
}

/** The name by which the site knows it. */
export function nameOf(target: Target): string {
  switch (target._tag) {
    case "Server":
      return `n${target.index}`
    case "Replica":
      return `r${target.index}`
    case "Client":
      return `client-${target.index}`
  }
}

function draw(random: Random, target: Target): Fault {
  const durationMs = Math.round(500 + Math.min(9500, random.exponential(3000)))
  const harm = drawHarm(random, target)
  // long enough for a checkpoint to fail
  return { target, harm, durationMs: harm._tag === "Full" ? durationMs + 1500 : durationMs }
}

function drawHarm(random: Random, target: Target): Harm {
  const scope: Scope =
    target._tag === "Server" ? random.pick(["all", "all", "servers", "others"] as const) : "all"
  const kind = random.pick(HARMS[target._tag])
  switch (kind) {
    case "Killed":
    case "Paused":
    case "Deleted":
      return { _tag: kind }
    case "Cut":
      return { _tag: kind, scope, ways: random.pick(["both", "both", "out", "in"] as const) }
    case "Slowed":
      return { _tag: kind, scope, delayMs: random.integer(5, 150), loss: random.real() * 0.2 }
    case "Torn":
      return { _tag: kind, scope, everyMs: random.integer(100, 1500) }
    case "RolledBack":
      return { _tag: kind, copy: random.pick(["first", "last"] as const) }
    case "Damaged":
      return { _tag: kind, flips: random.integer(1, 40), seed: random.bits() }
    case "Full":
      // the seed draws the same faults wherever it runs
      return canFillDisks ? { _tag: kind } : { _tag: "Deleted" }
    case "Corrupted": {
      const blocks = random.pick(["log", "log", "agreement"] as const)
      const damage = random.pick(["flipped", "flipped", "cut off"] as const)
      return { _tag: kind, blocks, damage, seed: random.bits() }
    }
  }
}

/** As often as they are named. */
const HARMS: Readonly<Record<Target["_tag"], ReadonlyArray<Harm["_tag"]>>> = {
  Client: ["Cut", "Slowed", "Torn"],
  Server: ["Killed", "Killed", "Paused", "Paused", "Cut", "Cut", "Slowed", "Torn", "Corrupted"],
  Replica: [
    "Killed",
    "Killed",
    "Paused",
    "Paused",
    "Cut",
    "Cut",
    "Slowed",
    "Torn",
    "RolledBack",
    "RolledBack",
    "Damaged",
    "Damaged",
    "Deleted",
    "Full",
    "Full",
  ],
}

const KINDS: Readonly<Record<Harm["_tag"], string>> = {
  Killed: "killed",
  Paused: "paused",
  Cut: "cut",
  Slowed: "slowed",
  Torn: "torn",
  RolledBack: "rolled back",
  Damaged: "store damaged",
  Deleted: "store deleted",
  Full: "disk full",
  Corrupted: "blocks damaged",
}

function detail(harm: Harm): string {
  switch (harm._tag) {
    case "Killed":
      return "killed"
    case "Paused":
      return "paused"
    case "Cut": {
      const ways = { both: "both ways", out: "is heard by nobody", in: "hears nobody" }[harm.ways]
      return `cut from ${OTHERS[harm.scope]} (${ways})`
    }
    case "Slowed":
      return `slowed to ${OTHERS[harm.scope]} (${harm.delayMs} ms, ${(100 * harm.loss).toFixed(0)} % lost)`
    case "Torn":
      return `torn from ${OTHERS[harm.scope]} every ${harm.everyMs} ms`
    case "RolledBack":
      return `killed, its store rolled back to its ${harm.copy} copy`
    case "Damaged":
      return `killed, ${harm.flips} bits of its store flipped`
    case "Deleted":
      return "killed, its store deleted"
    case "Full":
      return "without room on its disk"
    case "Corrupted":
      return `killed, blocks of its ${harm.blocks} ${harm.damage}`
  }
}

const OTHERS: Readonly<Record<Scope, string>> = {
  all: "all",
  servers: "the servers",
  others: "replicas and clients",
}
