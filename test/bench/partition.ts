import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type ActorClass, define, defineAll } from "@lockstep/actor"
import {
  BatchWriter,
  ClientId,
  encodeOpening,
  encodeShared,
  genesisRoster,
  GroupName,
  Partition,
  ReplicaId,
  SessionId,
} from "@lockstep/core"
import type { CheckpointChanges, ReplicaProtocol, ReplicationMode } from "@lockstep/replication"
import { CheckpointStore } from "../../framework/runtime/src/store.ts"

/** What one checkpoint took, milliseconds. */
export interface CheckpointTime {
  /** From the entry that makes it due to the changes that are to be kept: rows, digests, root. */
  readonly takenMs: number
  /** Until they are on the disk (fsync included), and what only older checkpoints needed is gone. */
  readonly keptMs: number
}

/**
 * One replica of one partition in this process, without servers: the protocol, and the store in which a host keeps its checkpoints.
 * A checkpoint is due after every second batch, so that the entry which makes it due need not be one that changes much.
 */
export class LonePartition implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "lockstep-bench-"))
  readonly #store: CheckpointStore
  readonly #replica: ReplicaProtocol
  readonly #type: string
  readonly #batch = new BatchWriter()
  #seq = 0
  #number = 0
  #checkpoint = 0

  constructor(actorClass: ActorClass, mode: ReplicationMode, actorBytesMax: number) {
    const of = { group: GroupName("bench"), replica: REPLICA, partition: Partition(0), logId: "log" }
    this.#store = new CheckpointStore(this.#directory, of, mode.storage === "shards" ? "large" : "small")
    this.#type = define(actorClass).type
    this.#replica = mode.replica({
      ...of,
      roster: genesisRoster([REPLICA, ReplicaId("r1"), ReplicaId("r2")]),
      definitions: defineAll([actorClass]),
      determinism: "guarded",
      checkpointEveryBatches: 2,
      shelf: this.#store,
      actorBytesMax,
    })
    this.#replica.step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 0, nowMs: 0 })
    this.#entry(encodeOpening({ client: CLIENT, number: 0 }))
  }

  /** Executes these calls, each on an actor of its own, and a call on one more actor. Yields what the checkpoint after that took. */
  change(
    member: string,
    calls: Iterable<readonly [key: string, ...args: ReadonlyArray<string>]>,
  ): CheckpointTime {
    for (const [key, ...args] of calls)
      this.#batch.add(this.#type, member, key, encodeShared(args), undefined)
    if (this.#entry(this.#seal()) !== undefined) throw new Error("a checkpoint was taken too early")
    const [key, ...args] = LAST
    this.#batch.add(this.#type, "write", key, encodeShared(args), undefined)
    const last = this.#seal()
    const start = performance.now()
    const changes = this.#entry(last)
    if (changes === undefined) throw new Error("no checkpoint was taken")
    const taken = performance.now()
    // the one before is what f+1 replicas hold by then
    this.#store.write(changes, this.#checkpoint)
    const kept = performance.now()
    this.#checkpoint = changes.seq
    this.#replica.step({ _tag: "Persisted", seq: changes.seq })
    return { takenMs: taken - start, keptMs: kept - taken }
  }

  get actors(): number {
    return this.#replica.status.actors
  }

  [Symbol.dispose](): void {
    this.#store.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  #seal(): Uint8Array {
    const number = this.#number
    this.#number += this.#batch.count
    return this.#batch.seal({ client: CLIENT, session: SESSION, number, settledBelow: number })
  }

  /** The log's next entry. Yields the checkpoint that it leads to. */
  #entry(payload: Uint8Array): CheckpointChanges | undefined {
    const seq = ++this.#seq
    const entry = { seq, timeNs: BigInt(seq) * 1_000_000n, source: `client.${CLIENT}`, payload }
    let changes: CheckpointChanges | undefined
    const outputs = [...this.#replica.step({ _tag: "Entries", entries: [entry] })]
    for (let output = outputs.shift(); output !== undefined; output = outputs.shift()) {
      if (output._tag === "Halt") throw new Error(output.report.detail)
      if (output._tag === "Persist") changes = output.changes
      if (output._tag === "Continue") outputs.push(...this.#replica.step({ _tag: "Continue" }))
    }
    return changes
  }
}

const REPLICA = ReplicaId("r0")
const CLIENT = ClientId("bench")
/** The seq of its opening. */
const SESSION = SessionId(1)
const LAST = ["the last one", "changed"] as const
