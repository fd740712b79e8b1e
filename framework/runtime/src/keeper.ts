import { join } from "node:path"
import { type Digest, type GroupName, Malformed, type Partition, type ReplicaId } from "@lockstep/core"
import {
  answersTo,
  type Checkpoint,
  type CheckpointChanges,
  type Probation,
  type ReplicationMode,
  type Shelf,
  type StagedBucket,
  type StagedCheckpoint,
  together,
  type TransferAnswer,
  type TransferRequest,
} from "@lockstep/replication"
import type { HostEvent } from "./host.ts"
import { later, Pace } from "./pace.ts"
import { CheckpointStore } from "./store.ts"
import type { SeatTimes } from "./telemetry/seat-times.ts"
import { Trial } from "./trial.ts"

/** A checkpoint is kept for so long after a peer has asked for it last, milliseconds. */
const PINNED_MS = 30_000

/** Keeps one partition's checkpoints on disk, begins with the newest of them, and reads them out to peers. */
export class Keeper {
  readonly #store: CheckpointStore
  readonly #trial: Trial
  readonly #partition: Partition
  readonly #onEvent: (event: HostEvent) => void
  readonly #onKept: (seq: number) => void
  /** Where anybody measures. */
  readonly #times: SeatTimes | undefined
  /** What is to be written next: a write that failed is made up for by it. */
  #waiting: CheckpointChanges | undefined
  #writing: Writing | undefined
  readonly #pace = new Pace()
  #isScheduled = false
  /** Checkpoints that peers are reading, by peer. */
  readonly #pinned = new Map<string, { readonly seq: number; readonly untilMs: number }>()
  /** Nobody begins to ask for checkpoints below it. */
  #floor = 0
  #closed = false

  constructor(
    dataDir: string,
    of: {
      readonly group: GroupName
      readonly replica: ReplicaId
      readonly partition: Partition
      readonly logId: string
      readonly storage: ReplicationMode["storage"]
      readonly times?: SeatTimes | undefined
    },
    onEvent: (event: HostEvent) => void,
    onKept: (seq: number) => void,
  ) {
    this.#store = new CheckpointStore(dataDir, of, of.storage === "shards" ? "large" : "small")
    this.#trial = new Trial(join(dataDir, `${of.group}-${of.partition}-${of.replica}.trial`))
    this.#partition = of.partition
    this.#times = of.times
    this.#onEvent = onEvent
    this.#onKept = onKept
  }

  /** What a protocol may use of the disk: rows of actors that are not in memory, and buckets that are there of peers' checkpoints. */
  begin(): { readonly shelf: Shelf; readonly staged: ReadonlyArray<Digest> } {
    return { shelf: this.#store, staged: this.#store.staged() }
  }

  /** Whether this replica was wrong before: that outlives its process, and its store. */
  trial(): { readonly probation?: Probation } {
    return this.#trial.isOpen ? { probation: "open" } : {}
  }

  /** The replica is on probation from here on, or has passed it. */
  putOn(probation: Probation): void {
    if (probation === "open") this.#trial.begin()
    else this.#trial.end()
  }

  /** What `make` makes of the newest checkpoint, if there is one and it is whole. */
  restore<Protocol>(make: (checkpoint: Checkpoint) => Protocol | undefined): Protocol | undefined {
    try {
      const checkpoint = this.#store.load()
      if (checkpoint === undefined) return undefined
      return make(checkpoint)
    } catch (cause) {
      const isDamaged = cause instanceof Malformed || isSqlite(cause)
      if (!isDamaged) {
        this.close()
        throw cause
      }
      this.#onEvent({ event: "checkpoint-damaged", partition: this.#partition, error: cause.message })
      this.#store.recreate()
      return undefined
    }
  }

  /** Keeps the changes soon, after the votes that are due now, and while others are given. */
  keep(changes: CheckpointChanges): void {
    this.#waiting = together(this.#waiting, changes)
    this.#goOnSoon()
  }

  /** f+1 replicas hold the checkpoint at this position: older ones go with the next that is kept. */
  release(below: number): void {
    this.#floor = below
  }

  /** Keeps a bucket of a peer's checkpoint aside. */
  stage(bucket: StagedBucket): void {
    while (this.#writing !== undefined) this.#write() // one thing after the other
    this.#store.stage(bucket)
  }

  /** Puts a checkpoint that is staged in place of what is kept. Throws where the disk refuses it. */
  install(checkpoint: StagedCheckpoint): void {
    this.#dropChanges()
    this.#store.install(checkpoint)
    this.#times?.kept()
  }

  /** Copies what is kept into a file of its own, and forgets it. Yields the file; nothing where the disk refuses a copy. */
  putAside(seq: number): string | undefined {
    this.#dropChanges()
    try {
      const file = this.#store.copy(`diverged-at-${seq}`)
      this.#store.wipe()
      return file
    } catch (cause) {
      if (!isSqlite(cause)) throw cause
      this.#store.recreate()
      return undefined
    }
  }

  /** What its files take on the disk. */
  get bytes(): number {
    return this.#store.fileBytes()
  }

  /** What a peer asks for. */
  *read(peer: string, request: TransferRequest): Generator<TransferAnswer> {
    try {
      for (const answer of answersTo(this.#store, request)) {
        if (answer._tag !== "Gone")
          this.#pinned.set(peer, { seq: request.seq, untilMs: performance.now() + PINNED_MS })
        yield answer
      }
    } catch (cause) {
      if (!isSqlite(cause)) throw cause
      const error = `it could not be read out to ${peer}: ${cause.message}`
      this.#onEvent({ event: "checkpoint-failed", partition: this.#partition, error })
    }
  }

  close(): void {
    this.#closed = true
    this.#dropChanges()
    this.#store.close()
  }

  #goOnSoon(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    later(() => {
      this.#isScheduled = false
      if (!this.#closed) this.#write()
    })
  }

  /** Writes some of what is to be written. */
  #write(): void {
    const writing = (this.#writing ??= this.#beginWriting())
    if (writing === undefined) return
    const { changes, parts, written } = writing
    try {
      if (!this.#pace.turn(() => parts.next().done === true)) return this.#goOnSoon()
    } catch (cause) {
      this.#writing = undefined
      this.#waiting = this.#waiting === undefined ? changes : together(changes, this.#waiting)
      const error = cause instanceof Error ? cause.message : String(cause)
      return this.#onEvent({ event: "checkpoint-failed", partition: this.#partition, error })
    }
    this.#writing = undefined
    written?.()
    if (this.#waiting !== undefined) this.#goOnSoon()
    this.#onKept(changes.seq)
  }

  #beginWriting(): Writing | undefined {
    const changes = this.#waiting
    if (changes === undefined) return undefined
    this.#waiting = undefined
    const written = this.#times?.writing(changes)
    return { changes, parts: this.#store.writing(changes, this.#needed()), written }
  }

  /** What is not on the disk yet is of no use any more. */
  #dropChanges(): void {
    this.#waiting = undefined
    this.#writing?.parts.return()
    this.#writing = undefined
  }

  /** The oldest position whose checkpoint somebody may still want. */
  #needed(): number {
    let needed = this.#floor
    for (const [peer, { seq, untilMs }] of this.#pinned) {
      if (untilMs < performance.now()) this.#pinned.delete(peer)
      else needed = Math.min(needed, seq)
    }
    return needed
  }
}

/** What is written a part at a time. */
interface Writing {
  readonly changes: CheckpointChanges
  readonly parts: Generator<void, void>
  /** Whom to tell once it is there, where anybody measures. */
  readonly written: (() => void) | undefined
}

/** The database itself is damaged, or its disk is full. */
function isSqlite(cause: unknown): cause is Error {
  return cause instanceof Error && "code" in cause && cause.code === "ERR_SQLITE_ERROR"
}
