import { setTimeout as sleep } from "node:timers/promises"
import { GroupName, Partition, ReplicaId } from "@lockstep/core"
import {
  type Connection,
  type ConnectionOptions,
  describeGroup,
  type Log,
  openConnection,
} from "@lockstep/nats"
import { peer, reignSubject, wishSubject } from "./subjects.ts"
import { decodeView, encodeWish, type ReignView } from "./wish.ts"

/** Which replica is to be the master, and of what. */
export interface HandOverOptions extends Omit<ConnectionOptions, "name"> {
  /** Default: `"main"`. */
  readonly group?: string
  /** The replica that is to be the master. */
  readonly to: string
  /** Default: all partitions, one after the other. */
  readonly partition?: number
  /** How long to wait for each partition, milliseconds. Default: 10 000. */
  readonly deadlineMs?: number
}

/** The replica was not seen to be the master in time. It may become it yet: the wish was told. */
export class HandOverUnfinished extends Error {
  readonly _tag = "HandOverUnfinished"
  override readonly name = "HandOverUnfinished"
  readonly partition: Partition
  /** The master, by the word of the replica that has read furthest in the log; undefined where none is known. */
  readonly master: string | undefined

  constructor(partition: Partition, to: ReplicaId, views: ReadonlyMap<string, ReignView>) {
    const newest = [...views.values()].toSorted((a, b) => b.epoch - a.epoch)[0]
    super(
      `${to} is not seen to be the master of partition ${partition} yet: ${situation(to, views, newest)}. See that ${to} and the master are up and ${to} is in sync, and say it again: the wish was told, and may still come true`,
    )
    this.partition = partition
    this.master = newest?.master
  }
}

/**
 * Makes this replica the master of a group with a single master, without a failover: the present one hands over once the other has everything,
 * and calls that come meanwhile wait. Does nothing where it is the master already. Resolves when it says so itself, with the epochs in
 * which it is, by partition.
 *
 * An operator does this, with permissions that neither replicas nor callers have: to publish on `operator.<group>.>`, `$JS.API.STREAM.NAMES` and
 * `$JS.API.STREAM.INFO.*` of the group's streams; to subscribe to `reign.<group>.>` and `_INBOX.>`.
 *
 * Rejects with HandOverUnfinished, LogUnavailable, ServerTooOld or UnknownGroup, and with TypeError for a replica that has no vote, or a partition
 * that there is not: then nothing was asked for.
 */
export async function handOver(options: HandOverOptions): Promise<ReadonlyMap<Partition, number>> {
  const group = GroupName(options.group ?? "main")
  const to = ReplicaId(options.to)
  const { partition: only, deadlineMs = DEADLINE_MS } = options
  const connection = await openConnection({ ...options, name: "lockstep-hand-over" })
  try {
    const { partitions, rosters } = await describeGroup(connection, group)
    if (only !== undefined && !(Number.isSafeInteger(only) && only >= 0 && only < partitions))
      throw new TypeError(`the group ${group} has partitions 0 to ${partitions - 1}, and no ${only}`)
    const asked = [...rosters.entries()].filter(([index]) => only === undefined || only === index)
    for (const [index, { voters }] of asked)
      if (!voters.includes(to))
        throw new TypeError(
          `${to} has no vote in partition ${index} of the group ${group}, and so cannot be its master: ${voters.join(", ")} have`,
        )
    const epochs = new Map<Partition, number>()
    for (const [index] of asked) {
      const log = { group, partition: Partition(index) }
      epochs.set(log.partition, await wish(connection, log, to, deadlineMs))
    }
    return epochs
  } finally {
    await connection.close()
  }
}

const DEADLINE_MS = 10_000
/** How often it is said again: messages may be lost, and the master may be another by then. */
const AGAIN_MS = 250
const LOOK_AGAIN_MS = 10

/** Says it until the replica says that it is so. */
async function wish(connection: Connection, log: Log, to: ReplicaId, deadlineMs: number): Promise<number> {
  const views = new Map<string, ReignView>()
  const stop = connection.subscribe(reignSubject(log.group, log.partition, "*"), (subject, bytes) => {
    const view = decodeView(bytes)
    if (view !== undefined) views.set(peer(subject), view)
  })
  try {
    const untilMs = performance.now() + deadlineMs
    let toldMs = Number.NEGATIVE_INFINITY
    while (performance.now() < untilMs) {
      if (performance.now() >= toldMs + AGAIN_MS) {
        toldMs = performance.now()
        connection.publish(wishSubject(log.group, log.partition), encodeWish(to))
      }
      await sleep(LOOK_AGAIN_MS)
      const own = views.get(to)
      if (own?.isSure === true) return own.epoch
    }
    throw new HandOverUnfinished(log.partition, to, views)
  } finally {
    stop()
  }
}

function situation(
  to: ReplicaId,
  views: ReadonlyMap<string, ReignView>,
  newest: ReignView | undefined,
): string {
  if (newest === undefined) return "no replica of a class with a single master was heard of"
  const { epoch, master, inSync } = newest
  const silent = views.has(to) ? "" : `, and ${to} itself was not heard of`
  return `in epoch ${epoch} ${master ?? "nobody"} is, ${inSync.join(", ") || "nobody"} are in sync${silent}`
}
