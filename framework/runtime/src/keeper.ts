import { digest, type GroupName, Malformed, type Partition, type ReplicaId } from "@lockstep/core"
import {
  bucketsOf,
  type Checkpoint,
  type CheckpointChanges,
  decodeHeader,
  manifestOf,
  type TransferAnswer,
  type TransferRequest,
} from "@lockstep/replication"
import type { HostEvent } from "./host.ts"
import { CheckpointStore } from "./store.ts"

/** Keeps one partition's checkpoints on disk, and begins with the last of them. */
export class Keeper {
  readonly #store: CheckpointStore
  readonly #partition: Partition
  readonly #onEvent: (event: HostEvent) => void
  readonly #onKept: (seq: number) => void
  /** What is not on the disk yet: a write that failed is made up for by the next. */
  #waiting: CheckpointChanges | undefined
  /** Checkpoints that peers are reading, whatever is written meanwhile. */
  readonly #pinned = new Map<string, Checkpoint>()
  #failed = false
  #closed = false

  constructor(
    dataDir: string,
    of: {
      readonly group: GroupName
      readonly replica: ReplicaId
      readonly partition: Partition
      readonly logId: string
    },
    onEvent: (event: HostEvent) => void,
    onKept: (seq: number) => void,
  ) {
    this.#store = new CheckpointStore(dataDir, of)
    this.#partition = of.partition
    this.#onEvent = onEvent
    this.#onKept = onKept
  }

  /** What `make` makes of the checkpoint that is there, if there is one and it is whole. */
  restore<Protocol extends { readonly status: { readonly applied: number } }>(
    make: (checkpoint: Checkpoint) => Protocol,
  ): Protocol | undefined {
    const partition = this.#partition
    try {
      const checkpoint = this.#store.load()
      if (checkpoint === undefined) return undefined
      const restored = make(checkpoint)
      this.#onEvent({
        event: "restored",
        partition,
        seq: restored.status.applied,
        rows: checkpoint.rows.size,
      })
      return restored
    } catch (cause) {
      const isDamaged = cause instanceof Malformed || isSqlite(cause)
      if (!isDamaged) {
        this.close()
        throw cause
      }
      this.#onEvent({ event: "checkpoint-damaged", partition, error: cause.message })
      this.#store.recreate()
      return undefined
    }
  }

  /** Keeps the changes soon, after the votes that are due now. */
  keep(changes: CheckpointChanges): void {
    const isScheduled = this.#waiting !== undefined
    this.#waiting = {
      ...changes,
      rows: new Map([...(this.#waiting?.rows ?? []), ...changes.rows]),
    }
    if (!isScheduled || this.#failed) setImmediate(() => this.#write())
  }

  /** A whole checkpoint that came from peers, in place of what is kept. Throws where the disk refuses it. */
  replace(checkpoint: Checkpoint): void {
    this.#waiting = undefined
    this.#store.wipe()
    const { header, rows } = checkpoint
    const { seq } = decodeHeader(header)
    this.#store.write({ seq, header, state: digest(header), rows })
  }

  /** Copies what is kept into a file of its own, and forgets it. Yields the file. */
  putAside(seq: number): string {
    this.#waiting = undefined
    const file = this.#store.copy(`diverged-at-${seq}`)
    this.#store.wipe()
    return file
  }

  /** What a peer asks for, of the checkpoint that was the last one when it began to ask. */
  read(peer: string, request: TransferRequest): ReadonlyArray<TransferAnswer> {
    if (request._tag === "Manifest") {
      const checkpoint = this.#store.load()
      if (checkpoint === undefined) return []
      this.#pinned.set(peer, checkpoint)
      return [manifestOf(checkpoint)]
    }
    const pinned = this.#pinned.get(peer)
    if (pinned === undefined || decodeHeader(pinned.header).seq !== request.seq)
      return [{ _tag: "Gone", seq: request.seq }]
    return bucketsOf(pinned, request)
  }

  close(): void {
    this.#closed = true
    this.#store.close()
  }

  #write(): void {
    const changes = this.#waiting
    if (changes === undefined || this.#closed) return
    try {
      this.#store.write(changes)
      this.#waiting = undefined
      this.#failed = false
    } catch (cause) {
      this.#failed = true
      const error = cause instanceof Error ? cause.message : String(cause)
      return this.#onEvent({ event: "checkpoint-failed", partition: this.#partition, error })
    }
    this.#onKept(changes.seq)
  }
}

/** The database itself is damaged: a page of it is not what it was. */
function isSqlite(cause: unknown): cause is Error {
  return cause instanceof Error && "code" in cause && cause.code === "ERR_SQLITE_ERROR"
}
