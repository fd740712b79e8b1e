import type { ActorDefinition, Determinism } from "@lockstep/actor"
import {
  genesisRoster,
  invariant,
  Malformed,
  type Partition,
  ReplicaId,
  ROSTER_NAMES_MAX,
} from "@lockstep/core"
import {
  type Appender,
  type Connection,
  type GroupDescriptor,
  openAppender,
  openTail,
  truncateLog,
  type Tail,
} from "@lockstep/nats"
import {
  type Checkpoint,
  type HaltReport,
  type ReplicaInput,
  type ReplicaOptions,
  type ReplicaOutput,
  type ReplicaProtocol,
  type ReplicaStatus,
  Stage,
  type StagedCheckpoint,
} from "@lockstep/replication"
import { hostable } from "./connect.ts"
import type { HostEvent, HostOptions } from "./host.ts"
import { Keeper } from "./keeper.ts"
import { tell } from "./listener.ts"
import {
  askSubject,
  peer,
  peersSubject,
  peerSubject,
  transferrer,
  transferSubject,
  voteSubject,
} from "./subjects.ts"
import { decodeTransfer, encodeTransfer, type TransferMessage } from "./transfer.ts"

/** How often a replica's protocol is told the time, milliseconds. */
const TICK_MS = 500

/** The shell around one replica protocol: one partition's log on one side, clients on the other. */
export class Seat {
  #protocol: ReplicaProtocol
  readonly #make: (begin: Pick<ReplicaOptions, "probation" | "restore" | "shardOf">) => ReplicaProtocol
  readonly #truncateMarginEntries: number | undefined
  #tail: Tail
  readonly #keeper: Keeper | undefined
  /** What it keeps is nothing to begin with: it needs what others keep. */
  readonly #keepsShards: boolean
  /** Where a checkpoint of peers is gathered, without a disk. */
  readonly #stage = new Stage()
  readonly #attestations: Appender
  readonly #connection: Connection
  readonly #group: GroupDescriptor
  readonly #replica: ReplicaId
  readonly #partition: Partition
  readonly #onEvent: (event: HostEvent) => void
  readonly #stops: Array<() => void>
  readonly #fetchers = new Set<string>()
  #caughtUp = false
  #failed = false

  constructor(seat: {
    readonly connection: Connection
    readonly group: GroupDescriptor
    readonly replica: ReplicaId
    readonly partition: Partition
    readonly definitions: ReadonlyMap<string, ActorDefinition>
    readonly options: HostOptions
    readonly determinism: Determinism
  }) {
    const { connection, group, replica, partition, definitions, options, determinism } = seat
    this.#connection = connection
    this.#group = group
    this.#replica = replica
    this.#partition = partition
    this.#onEvent = (event) => tell(options.onEvent, event)
    const [actorClass] = options.actors
    invariant(actorClass !== undefined, "a host has at least one actor class")
    const logId = group.logIds[partition] ?? ""
    const mode = hostable(actorClass, group)
    this.#keepsShards = mode.storage === "shards"
    this.#keeper =
      options.dataDir === undefined
        ? undefined
        : new Keeper(
            options.dataDir,
            { group: group.group, replica, partition, logId, storage: mode.storage },
            this.#onEvent,
            (seq) => this.#step({ _tag: "Persisted", seq }),
          )
    this.#truncateMarginEntries = options.truncateMarginEntries
    const { actorBytesMax } = options
    this.#make = (begin) =>
      mode.replica({
        group: group.group,
        partition,
        roster: genesisRoster(group.replicas),
        logId,
        replica,
        definitions,
        determinism,
        checkpointEveryBatches: group.checkpointEveryBatches,
        ...(!this.#keepsShards && this.#keeper?.begin()),
        ...this.#keeper?.trial(),
        ...(actorBytesMax !== undefined && { actorBytesMax }),
        ...begin,
      })
    const restored = this.#keeper?.restore((restore) =>
      this.#make(this.#keepsShards ? { shardOf: restore.header } : { restore }),
    )
    this.#protocol = restored ?? this.#make({})
    if (restored !== undefined && restored.status.applied > 0) {
      const { applied: seq, actors } = restored.status
      this.#onEvent({ event: "restored", partition, seq, actors })
    }
    this.#attestations = openAppender(
      connection,
      { group: group.group, partition, writer: { replica } },
      () => undefined, // the protocol says it again when the log does not show it
    )
    this.#tail = this.#openTail()
    const timer = setInterval(() => this.#step({ _tag: "Tick", nowMs: performance.now() }), TICK_MS)
    this.#stops = [
      () => this.#tail.close(),
      () => clearInterval(timer),
      () => this.#attestations.close(),
      () => this.#keeper?.close(),
      connection.subscribe(askSubject(group.group, partition, replica), (_, bytes) =>
        this.#step({ _tag: "Message", bytes }),
      ),
      connection.subscribe(transferSubject(group.group, partition, replica, "*"), (subject, bytes) =>
        this.#transfer(transferrer(subject), bytes),
      ),
      connection.subscribe(peersSubject(group.group, partition), (subject, bytes) => {
        const from = peer(subject)
        if (from !== replica) this.#step({ _tag: "Peer", from, bytes })
      }),
    ]
  }

  /** The keeper, where what it keeps is enough to begin with. */
  get #wholeCopies(): Keeper | undefined {
    return this.#keepsShards ? undefined : this.#keeper
  }

  get status(): ReplicaStatus {
    return this.#protocol.status
  }

  get live(): boolean {
    return !this.#failed && this.#protocol.status.halted === undefined
  }

  close(): void {
    for (const stop of this.#stops) stop()
  }

  /** A broken invariant stops this partition: a replica that does not know what it did must not vote. */
  #step(input: ReplicaInput): void {
    if (this.#failed) return
    try {
      for (const output of this.#protocol.step(input)) this.#carryOut(output)
    } catch (cause) {
      this.#failed = true
      this.#onEvent({ event: "failed", partition: this.#partition, error: String(cause) })
      this.#tail.close()
      return
    }
    if (this.#caughtUp || !this.#protocol.status.caughtUp) return
    this.#caughtUp = true
    const { applied, executed } = this.#protocol.status
    this.#onEvent({ event: "caught-up", partition: this.#partition, seq: applied, executed })
  }

  /** A peer fetches this replica's checkpoint, or answers with its own. (A replica's own shard is one of those that it asks for.) */
  #transfer(from: string, bytes: Uint8Array): void {
    if (!this.#mayFetch(from)) return
    try {
      const other = ReplicaId(from)
      const message = decodeTransfer(bytes)
      if (message._tag === "Answers") this.#step({ _tag: "Answer", from: other, answer: message.answer })
      else
        for (const answer of this.#keeper?.read(other, message.request) ?? [])
          this.#tellPeer(other, { _tag: "Answers", answer })
    } catch (cause) {
      // a name that is none is one in the subject, where anybody may write anything
      if (!(cause instanceof Malformed || cause instanceof TypeError)) throw cause
    }
  }

  /** The roster need not name it yet. But each of them costs memory while it fetches, so there may be as many as in a roster. */
  #mayFetch(from: string): boolean {
    if (!this.#fetchers.has(from) && this.#fetchers.size >= ROSTER_NAMES_MAX) return false
    this.#fetchers.add(from)
    return true
  }

  #tellPeer(to: ReplicaId, message: TransferMessage): void {
    const subject = transferSubject(this.#group.group, this.#partition, to, this.#replica)
    this.#connection.publish(subject, encodeTransfer(message))
  }

  #openTail(): Tail {
    const partition = this.#partition
    return openTail(
      this.#connection,
      { group: this.#group.group, partition, from: () => this.#protocol.status.from },
      {
        onAttached: (log) => {
          const { firstSeq, lastSeq } = log
          this.#onEvent({ event: "attached", partition, firstSeq, lastSeq })
          this.#step({ _tag: "Attached", ...log, nowMs: performance.now() })
        },
        onAway: (detail) => this.#onEvent({ event: "log-away", partition, detail }),
        onEntries: (entries) => this.#step({ _tag: "Entries", entries }),
      },
    )
  }

  /** What is known here is put aside as evidence, and forgotten. */
  #rejoin(report: HaltReport): void {
    const evidence = this.#keeper?.putAside(report.applied)
    const partition = this.#partition
    this.#onEvent({ event: "rejoining", partition, ...report, ...(evidence && { evidence }) })
    this.#keeper?.putOn("open")
    this.#protocol = this.#make({ probation: "open" })
    this.#caughtUp = false
    this.#connection.leave()
    this.#tail.close() // as it is already, where the replica had halted
    this.#tail = this.#openTail()
  }

  /** Through another server, where there is one. */
  #attachElsewhere(): void {
    this.#connection.leave()
    this.#tail.reattach()
  }

  /** Begins anew with a checkpoint of the others. */
  #install(checkpoint: StagedCheckpoint): void {
    const { probation } = this.#protocol.status
    const trial = probation === undefined ? {} : { probation }
    const begin = (restore: Checkpoint): ReplicaProtocol => this.#make({ restore, ...trial })
    const copies = this.#wholeCopies
    copies?.install(checkpoint)
    this.#protocol =
      copies === undefined
        ? begin({ header: checkpoint.header, rows: this.#stage.take(checkpoint) })
        : (copies.restore(begin) ?? this.#make(trial)) // its disk may rot as fast as it is written
    const { applied: seq, actors } = this.#protocol.status
    this.#onEvent({ event: "installed", partition: this.#partition, seq, actors })
    this.#tail.reattach()
  }

  async #truncate(below: number): Promise<void> {
    const partition = this.#partition
    if (this.#truncateMarginEntries === undefined || below <= this.#truncateMarginEntries) return
    try {
      const log = { group: this.#group.group, partition }
      await truncateLog(this.#connection, log, below - this.#truncateMarginEntries)
    } catch (cause) {
      const error = cause instanceof Error ? cause.message : String(cause)
      this.#onEvent({ event: "truncation-failed", partition, error })
    }
  }

  #carryOut(output: ReplicaOutput): void {
    switch (output._tag) {
      case "Send":
        return this.#connection.publish(
          voteSubject(this.#group.group, this.#replica, output.to),
          output.bytes,
        )
      case "Tell":
        return this.#connection.publish(
          peerSubject(this.#group.group, this.#partition, this.#replica),
          output.bytes,
        )
      case "Persist":
        return this.#keeper?.keep(output.changes)
      case "Attest":
        return this.#attestations.append(output.bytes, 0)
      case "Truncatable":
        this.#keeper?.release(output.below)
        return void this.#truncate(output.below)
      case "Stage":
        return this.#wholeCopies === undefined
          ? this.#stage.add(output.bucket)
          : this.#wholeCopies.stage(output.bucket)
      case "Request":
        return this.#tellPeer(output.to, { _tag: "Asks", request: output.request })
      case "Install":
        return this.#install(output.checkpoint)
      case "Membership": {
        const { epoch, voters, standbys } = output.roster
        const { role } = output
        return this.#onEvent({
          event: "membership",
          partition: this.#partition,
          epoch,
          role,
          voters,
          standbys,
        })
      }
      case "Waits":
        return this.#onEvent({ event: "waits", partition: this.#partition, detail: output.detail })
      case "Reattach":
        if (output.complaint === undefined) return this.#tail.reattach()
        this.#onEvent({ event: "log-suspect", partition: this.#partition, ...output.complaint })
        return this.#attachElsewhere()
      case "Trusted":
        this.#keeper?.putOn("passed")
        return this.#onEvent({ event: "trusted", partition: this.#partition })
      case "Rejoin":
        return this.#rejoin(output.report)
      case "Halt":
        this.#onEvent({ event: "halted", partition: this.#partition, ...output.report })
        return this.#tail.close()
      case "Uncaught": {
        const { target, seq, error } = output.uncaught
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
        return this.#onEvent({ event: "actor-threw", target, seq, error: text })
      }
    }
  }
}
