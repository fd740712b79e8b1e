import { randomUUID } from "node:crypto"
import {
  type ActorDefinition,
  Executor,
  type Observer,
  type Stopwatch,
  type UncaughtError,
} from "@lockstep/actor"
import type { GroupName, Partition, ReplicaId } from "@lockstep/core"
import type { ReplicaOptions } from "@lockstep/replication"
import type { HostEvent } from "./host.ts"
import { Journal, type Journaling } from "./journal.ts"
import type { Replications } from "./telemetry/replications.ts"
import { VolatileJournal } from "./volatile-journal.ts"

/** What a seat needs besides where one replica executes, and the others are given what it came to. */
export interface Once {
  readonly journal: Journaling
  readonly executor: Executor
  /** What a protocol begins with, in place of one before. */
  begin(): Pick<ReplicaOptions, "journal" | "shipments">
  close(): Promise<void>
}

/** Opens the journal, on the disk where there is a folder, and makes an executor that may use the outside world. */
export function openOnce(
  of: {
    readonly group: GroupName
    readonly replica: ReplicaId
    readonly partition: Partition
    readonly logId: string
    readonly dataDir: string | undefined
    readonly definitions: ReadonlyMap<string, ActorDefinition>
    readonly observer: Observer
    readonly stopwatch: Stopwatch | undefined
    readonly replications: Replications
  },
  listener: {
    readonly onJournaled: (write: number) => void
    readonly onUncaught: (uncaught: UncaughtError) => void
    readonly onEvent: (event: HostEvent) => void
  },
): Once {
  const { partition, dataDir, definitions, observer, stopwatch, replications } = of
  const { onJournaled, onUncaught, onEvent } = listener
  const journal =
    dataDir === undefined
      ? new VolatileJournal(onJournaled)
      : new Journal(dataDir, of, {
          onJournaled,
          onFailed: (error) => onEvent({ event: "journal-failed", partition, error }),
          onCut: (cut) => onEvent({ event: "journal-cut", partition, ...cut }),
        })
  const world = { clock: Date.now, random: Math.random, uuid: randomUUID }
  const watching = { observer, ...(stopwatch && { stopwatch }) }
  return {
    journal,
    executor: new Executor({ definitions, ...world, onUncaught, ...watching }),
    begin() {
      replications.end()
      return { journal: journal.records(), shipments: replications }
    },
    close() {
      replications.end()
      return journal.close()
    },
  }
}
