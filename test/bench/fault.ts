import { setTimeout as sleep } from "node:timers/promises"
import { GroupName, Partition } from "@lockstep/core"
import { streamName } from "@lockstep/nats"
import type { Client } from "lockstep"
import type { BenchGroup } from "./group.ts"
import { Witness } from "./liar.ts"
import type { LogServers } from "./log-servers.ts"

/** What goes wrong, on which log. */
export interface Fault {
  readonly name: string
  readonly copies: 1 | 3
  /** Resolves when all is as it was before. What is wrong is wrong for so long at least. */
  readonly strike: (site: Site, forMs: number) => Promise<void>
}

/** A group of three replicas, and what its log is on. */
export interface Site {
  readonly group: BenchGroup
  readonly log: LogServers
  readonly client: Client
}

/** The replica that it happens to. */
const STRUCK = "r0"

export const FAULTS: ReadonlyArray<Fault> = [
  {
    name: "a replica is killed",
    copies: 1,
    async strike({ group }, forMs) {
      await group.replica(STRUCK).kill()
      await sleep(forMs)
      await group.replica(STRUCK).start()
    },
  },
  {
    name: "a replica is paused",
    copies: 1,
    async strike({ group }, forMs) {
      group.replica(STRUCK).pause()
      await sleep(forMs)
      group.replica(STRUCK).resume()
      await group.settled()
    },
  },
  {
    name: "a replica lies",
    copies: 1,
    async strike({ group, client }, forMs) {
      const witness = client.actor(Witness, "the one that is told")
      const dissents = (): number =>
        [...client.counts.dissents.values()].reduce((sum, votes) => sum + votes, 0)
      const before = dissents()
      await witness.liesIn(group.replica(STRUCK).pid)
      await sleep(forMs)
      await witness.liesIn(0)
      if (dissents() === before) throw new Error(`${STRUCK} was told to lie, and did not`)
      // one that found itself outvoted has halted, or begins anew: it is replaced
      await group.restart(STRUCK, { store: "emptied" })
    },
  },
  {
    name: "the log's leader is killed",
    copies: 3,
    async strike({ group, log, client }, forMs) {
      const leader = await log.leader(LOG)
      await leader.kill("SIGKILL")
      await sleep(forMs)
      await leader.restart()
      const witness = client.actor(Witness, "the one that is asked")
      while (!(await isAnswered(() => witness.add(0))));
      await group.settled()
    },
  },
]

const LOG = streamName(GroupName("main"), Partition(0))

async function isAnswered(call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call()
    return true
  } catch {
    return false
  }
}
