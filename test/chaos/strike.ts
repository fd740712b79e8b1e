import { setTimeout as sleep } from "node:timers/promises"
import { Random } from "@lockstep/testing"
import { type Episode, type Fault, type Harm, nameOf, replicasMax, type Target } from "./nemesis.ts"
import { OPEN } from "./proxy.ts"
import { emptyDisk, fillDisk } from "./replica-store.ts"
import type { Site } from "./site.ts"

/** How long replicas read from a damaged server after each of them has attached again. */
const EXPOSURE_MS = 400

/** How often one replica reads again what came since before the damage: its consumer is on the damaged server once in three times. */
const READINGS = 3

/** Strikes, lasts, and heals all that it did. Resolves when everything is as good as before. */
export async function strike(site: Site, episode: Episode): Promise<void> {
  await Promise.all(episode.map((fault) => inflict(site, fault)))
  if (episode.some(({ target }) => target._tag === "Server")) await site.serversRecovered()
  await site.replicasRecovered({
    excused: episode.some(({ harm }) => harm._tag === "Full") ? "failed" : "none",
  })
}

async function inflict(site: Site, { target, harm, durationMs }: Fault): Promise<void> {
  const node = target._tag === "Server" ? target.index : nameOf(target)
  switch (harm._tag) {
    case "Killed":
    case "RolledBack":
    case "Damaged":
    case "Deleted":
      return kill(site, target, harm, durationMs)
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
      return
    case "Full":
      return fill(site, target, durationMs)
    case "Corrupted":
      return corrupt(site, target.index, harm, durationMs)
  }
}

async function kill(site: Site, target: Target, harm: Harm, durationMs: number): Promise<void> {
  const [server, replica] = processOf(site, target)
  await server?.kill("SIGKILL")
  await replica?.kill()
  await sleep(durationMs)
  await server?.restart()
  if (replica === undefined) return
  const store = site.storeOf(replica)
  if (harm._tag === "RolledBack") await store.putBack(harm.copy)
  if (harm._tag === "Damaged") await store.damage(new Random(harm.seed), harm.flips)
  if (harm._tag === "Deleted") await store.delete()
  await site.restartReplica(replica)
}

async function pause(site: Site, target: Target, durationMs: number): Promise<void> {
  const [server, replica] = processOf(site, target)
  await server?.kill("SIGSTOP")
  replica?.pause()
  await sleep(durationMs)
  await server?.kill("SIGCONT")
  replica?.resume()
}

async function fill(site: Site, target: Target, durationMs: number): Promise<void> {
  const [, replica] = processOf(site, target)
  if (replica === undefined) throw new Error("only a replica's disk can be filled")
  const { pid } = replica
  fillDisk(pid)
  await sleep(durationMs)
  if (replica.running) emptyDisk(pid)
}

/**
 * Damages a server's store, lets all replicas read from the servers again, and waits until the log has been truncated behind all that
 * can be damaged: then the server holds the whole log, before anything else can happen to another. (Damage of two servers is more
 * than three can hold.)
 */
async function corrupt(
  site: Site,
  index: number,
  harm: Harm & { _tag: "Corrupted" },
  durationMs: number,
): Promise<void> {
  const { server, store } = site.server(index)
  const reader = replicasMax(site) > 0 ? site.correct[0] : undefined
  if (reader !== undefined) await site.keepCopy(reader, "whole")
  await server.kill("SIGKILL")
  await sleep(durationMs)
  await store.damage(new Random(harm.seed), harm)
  const lastSeq = await site.lastSeq()
  await server.restart()
  await site.serversRecovered()
  for (const { replica } of site.correct) {
    site.network.reset(replica, "all")
    await sleep(EXPOSURE_MS)
  }
  await site.replicasRecovered({ excused: "log" })
  const again = Array.from({ length: READINGS }, () => reader).filter((replica) => replica !== undefined)
  for (const replica of again) {
    await replica.kill()
    await site.storeOf(replica).putBack("last")
    await replica.spawn()
    await site.replicasRecovered({ excused: "log" })
  }
  await site.truncatedBehind(lastSeq)
}

function processOf(site: Site, target: Target) {
  const server = target._tag === "Server" ? site.server(target.index).server : undefined
  const replica = target._tag === "Replica" ? site.replicas[target.index] : undefined
  return [server, replica] as const
}
