import { setTimeout as sleep } from "node:timers/promises"
import type { Random } from "@lockstep/testing"
import { faultsMax } from "./actors.ts"
import type { Scope } from "./network.ts"
import { OPEN } from "./proxy.ts"
import { SERVERS, type Site } from "./site.ts"

/** Who is struck. */
export type Target =
  | { readonly _tag: "Server"; readonly index: number }
  | { readonly _tag: "Replica"; readonly index: number }
  | { readonly _tag: "Client"; readonly index: number }

/**
 * What happens to it, for as long as the fault lasts. Faults of disks (flipped bits, a full disk, a store that is rolled back)
 * will be more members.
 */
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

export interface Fault {
  readonly target: Target
  readonly harm: Harm
  readonly durationMs: number
}

/** Faults that last together: at most f replicas and one server are struck in one, the time until they recovered included. */
export type Episode = ReadonlyArray<Fault>

/** Draws one episode; the same seed draws the same ones. */
export function drawEpisode(random: Random, site: Pick<Site, "clients" | "replicas" | "liar">): Episode {
  const struck = site.replicas.flatMap(({ replica }, index) => (replica === site.liar ? [] : [index]))
  const replicasMax = faultsMax - (site.liar === undefined ? 0 : 1)
  const replicas = random.shuffle(struck).slice(0, random.integer(0, replicasMax))
  const hasServer = replicas.length === 0 || random.chance(0.35)
  const client = replicas.length === 0 && random.chance(0.12)
  if (client) return [draw(random, { _tag: "Client", index: random.integer(0, site.clients.length - 1) })]
  const faults = replicas.map((index) => draw(random, { _tag: "Replica", index }))
  if (hasServer) faults.push(draw(random, { _tag: "Server", index: random.integer(0, SERVERS - 1) }))
  return faults
}

/** In words: "n1 killed", "r2 cut (out)". */
export function describe({ target, harm, durationMs }: Fault): string {
  return `${nameOf(target)} ${detail(harm)} for ${(durationMs / 1000).toFixed(1)} s`
}

/** By what faults are counted: "server killed". */
export function kindOf({ target, harm }: Fault): string {
  return `${target._tag.toLowerCase()} ${harm._tag.toLowerCase()}`
}

/** Strikes, lasts, and heals all that it did. Resolves when everything is as good as before. */
export async function strike(site: Site, episode: Episode): Promise<void> {
  await Promise.all(episode.map((fault) => inflict(site, fault)))
  if (episode.some(({ target }) => target._tag === "Server")) await site.serversRecovered()
  await Promise.all(site.correct.map((replica) => site.replicaRecovered(replica)))
}

function draw(random: Random, target: Target): Fault {
  const durationMs = Math.round(500 + Math.min(9500, random.exponential(3000)))
  return { target, durationMs, harm: drawHarm(random, target) }
}

function drawHarm(random: Random, target: Target): Harm {
  const scope: Scope =
    target._tag === "Server" ? random.pick(["all", "all", "servers", "others"] as const) : "all"
  const isProcess = target._tag !== "Client"
  switch (random.pick(isProcess ? HARMS : HARMS_OF_LINES)) {
    case "Killed":
      return { _tag: "Killed" }
    case "Paused":
      return { _tag: "Paused" }
    case "Cut":
      return { _tag: "Cut", scope, ways: random.pick(["both", "both", "out", "in"] as const) }
    case "Slowed":
      return { _tag: "Slowed", scope, delayMs: random.integer(5, 150), loss: random.real() * 0.2 }
    case "Torn":
      return { _tag: "Torn", scope, everyMs: random.integer(100, 1500) }
  }
}

const HARMS_OF_LINES: ReadonlyArray<Harm["_tag"]> = ["Cut", "Slowed", "Torn"]
const HARMS: ReadonlyArray<Harm["_tag"]> = [
  "Killed",
  "Killed",
  "Paused",
  "Paused",
  "Cut",
  "Cut",
  "Slowed",
  "Torn",
]

async function inflict(site: Site, { target, harm, durationMs }: Fault): Promise<void> {
  const node = target._tag === "Server" ? target.index : nodeName(target)
  switch (harm._tag) {
    case "Killed":
      return kill(site, target, durationMs)
    case "Paused":
      return pause(site, target, durationMs)
    case "Cut":
      site.network.set(node, harm.scope, harm.ways, { ...OPEN, silent: true })
      await sleep(durationMs)
      return site.network.heal(node)
    case "Slowed":
      site.network.set(node, harm.scope, "both", { ...OPEN, delayMs: harm.delayMs, loss: harm.loss })
      await sleep(durationMs)
      return site.network.heal(node)
    case "Torn":
      for (let left = durationMs; left > 0; left -= harm.everyMs) {
        site.network.reset(node, harm.scope)
        await sleep(Math.min(left, harm.everyMs))
      }
  }
}

async function kill(site: Site, target: Target, durationMs: number): Promise<void> {
  const [server, replica] = processOf(site, target)
  await server?.kill("SIGKILL")
  await replica?.kill()
  await sleep(durationMs)
  await server?.restart()
  if (replica !== undefined) await site.restartReplica(replica)
}

async function pause(site: Site, target: Target, durationMs: number): Promise<void> {
  const [server, replica] = processOf(site, target)
  await server?.kill("SIGSTOP")
  replica?.pause()
  await sleep(durationMs)
  await server?.kill("SIGCONT")
  replica?.resume()
}

function processOf(site: Site, target: Target) {
  const server = target._tag === "Server" ? site.servers[target.index] : undefined
  const replica = target._tag === "Replica" ? site.replicas[target.index] : undefined
  return [server, replica] as const
}

function nodeName(target: Target): string {
  return target._tag === "Client" ? `client-${target.index}` : `r${target.index}`
}

function nameOf(target: Target): string {
  return target._tag === "Server" ? `n${target.index}` : nodeName(target)
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
  }
}

const OTHERS: Readonly<Record<Scope, string>> = {
  all: "all",
  servers: "the servers",
  others: "replicas and clients",
}
