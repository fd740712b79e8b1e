import { randomUUID } from "node:crypto"
import type { ActorDefinition, Determinism, UncaughtError } from "@lockstep/actor"
import { genesisRoster, invariant, type Partition, type ReplicaId } from "@lockstep/core"
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
import { departure } from "./departure.ts"
import { eventOf } from "./events.ts"
import { hostable } from "./hosting.ts"
import type { HostEvent, HostOptions } from "./host.ts"
import { Keeper } from "./keeper.ts"
import { tell } from "./listener.ts"
import { hearNotices } from "./notices.ts"
import { type Once, openOnce } from "./once.ts"
import { later } from "./pace.ts"
import {
  askSubject,
  directSubject,
  peer,
  peersSubject,
  peerSubject,
  reignSubject,
  voteSubject,
  wishSubject,
} from "./subjects.ts"
import { Executions } from "./telemetry/executions.ts"
import type { SeatTimes } from "./telemetry/seat-times.ts"
import { Replications } from "./telemetry/replications.ts"
import { Transfers } from "./transfers.ts"
import { decodeWish, encodeView } from "./wish.ts"

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
  /** Where one replica executes, and the others are given what it came to. */
  readonly #once: Once | undefined
  readonly #transfers: Transfers
  readonly #attestations: Appender
  readonly #connection: Connection
  readonly #group: GroupDescriptor
  readonly #replica: ReplicaId
  readonly #partition: Partition
  readonly #onEvent: (event: HostEvent) => void
  /** Where anybody measures. */
  readonly #times: SeatTimes | undefined
  readonly #stops: Array<() => void>
  /** What came while the protocol was at work, and for which protocol, where it is the business of one only. */
  readonly #inputs: Array<{ readonly input: ReplicaInput; readonly by: ReplicaProtocol | undefined }> = []
  #isAtWork = false
  #caughtUp = false
  #failed = false
  #closing: Promise<void> | undefined

  constructor(seat: {
    readonly connection: Connection
    readonly group: GroupDescriptor
    readonly replica: ReplicaId
    readonly partition: Partition
    readonly definitions: ReadonlyMap<string, ActorDefinition>
    readonly options: HostOptions
    readonly determinism: Determinism
    readonly times: SeatTimes | undefined
  }) {
    const { connection, group, replica, partition, definitions, options, determinism, times } = seat
    this.#times = times
    this.#connection = connection
    this.#group = group
    this.#replica = replica
    this.#partition = partition
    const place = { group: group.group, partition, replica }
    const replications = new Replications(place)
    this.#onEvent = (event) => {
      replications.event(event)
      tell(options.onEvent, event)
    }
    const [actorClass] = options.actors
    invariant(actorClass !== undefined, "a host has at least one actor class")
    const logId = group.logIds[partition] ?? ""
    const mode = hostable(actorClass, group)
    this.#keepsShards = mode.storage === "shards"
    const { dataDir, actorBytesMax } = options
    const kept = { ...place, logId, storage: mode.storage, times }
    this.#keeper =
      dataDir === undefined
        ? undefined
        : new Keeper(dataDir, kept, this.#onEvent, (seq) => this.#step({ _tag: "Persisted", seq }))
    this.#truncateMarginEntries = options.truncateMarginEntries
    const observer = new Executions({ mode, definitions, ...place }, replications)
    if (mode.execution === "once")
      this.#once = openOnce(
        { ...kept, dataDir, definitions, observer, stopwatch: times, replications },
        {
          onJournaled: (write) => this.#step({ _tag: "Journaled", write }),
          onUncaught: (uncaught) => this.#tellUncaught(uncaught),
          onEvent: this.#onEvent,
        },
      )
    this.#make = (begin) =>
      mode.replica({
        ...place,
        roster: genesisRoster(group.replicas),
        logId,
        definitions,
        determinism,
        checkpointEveryBatches: group.checkpointEveryBatches,
        checkpointEveryBytes: group.checkpointEveryBytes,
        ...(!this.#keepsShards && this.#keeper?.begin()),
        ...this.#keeper?.trial(),
        incarnation: randomUUID(),
        observer,
        ...(times && { stopwatch: times }),
        ...this.#once?.begin(),
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
    this.#transfers = new Transfers(connection, place, this.#keeper, (from, answer) =>
      this.#step({ _tag: "Answer", from, answer }),
    )
    const timer = setInterval(() => this.#step({ _tag: "Tick", nowMs: performance.now() }), mode.tickMs)
    const hear = (subject: string, bytes: Uint8Array): void => {
      const from = peer(subject)
      if (from !== replica) this.#step({ _tag: "Peer", from, bytes })
    }
    this.#stops = [
      () => this.#tail.close(),
      () => clearInterval(timer),
      () => this.#transfers.close(),
      hearNotices(connection, place, observer),
      connection.subscribe(askSubject(group.group, partition, replica), (_, bytes) =>
        this.#step({ _tag: "Message", bytes }),
      ),
      connection.subscribe(peersSubject(group.group, partition), hear),
      connection.subscribe(directSubject(group.group, partition, "*", replica), hear),
    ]
    if (this.#once !== undefined)
      this.#stops.push(
        connection.subscribe(wishSubject(group.group, partition), (_, bytes) => this.#hearOperator(bytes)),
      )
  }

  /** The keeper, where what it keeps is enough to begin with. */
  get #wholeCopies(): Keeper | undefined {
    return this.#keepsShards ? undefined : this.#keeper
  }

  get status(): ReplicaStatus {
    return this.#protocol.status
  }

  /** Entries of the log that are still to come, as its server said last. */
  get pending(): number {
    return this.#tail.pending
  }

  /** Bytes of the files that hold its checkpoints, where it keeps any. */
  get keptBytes(): number | undefined {
    return this.#keeper?.bytes
  }

  get live(): boolean {
    return !this.#failed && this.#protocol.status.halted === undefined
  }

  /** An operator asks the master, if this is it, to make another replica the master. */
  handOver(to: ReplicaId): void {
    this.#step({ _tag: "HandOver", to })
  }

  /** Others go on without it first, where they can. Resolves when all that it wrote is on the disk. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    await departure({
      reign: () => (this.#failed ? undefined : this.status.reign),
      leave: () => this.#step({ _tag: "Leave" }),
    })
    for (const stop of this.#stops) stop()
    await this.#once?.close()
    this.#attestations.close()
    this.#keeper?.close()
  }

  /** One input after the other: what comes of an output before all outputs are carried out waits for them. */
  #step(input: ReplicaInput, by?: ReplicaProtocol): void {
    this.#inputs.push({ input, by })
    if (this.#isAtWork) return
    this.#isAtWork = true
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift())
        if (next.by === undefined || next.by === this.#protocol) this.#take(next.input)
    } finally {
      this.#isAtWork = false
    }
  }

  /** A broken invariant stops this partition: a replica that does not know what it did must not vote. */
  #take(input: ReplicaInput): void {
    if (this.#failed) return
    try {
      const nowMs = performance.now()
      this.#times?.turn(nowMs)
      for (const output of this.#protocol.step(input, nowMs)) this.#carryOut(output)
      if (input._tag === "Entries" && this.#caughtUp) this.#times?.applied(input.entries, nowMs)
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

  /** Whoever is the master hands over; everybody says who that is. */
  #hearOperator(bytes: Uint8Array): void {
    const to = decodeWish(bytes)
    if (to === undefined) return
    if (this.status.reign?.master !== to) this.handOver(to)
    const { reign } = this.status
    const subject = reignSubject(this.#group.group, this.#partition, this.#replica)
    if (reign !== undefined) this.#connection.publish(subject, encodeView(this.#replica, reign))
  }

  #tellUncaught({ target, seq, error }: UncaughtError): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#onEvent({ event: "actor-threw", target, seq, error: text })
  }

  #openTail(): Tail {
    const partition = this.#partition
    return openTail(
      this.#connection,
      { group: this.#group.group, partition, from: () => this.#protocol.status.from },
      {
        onAttached: (log) => {
          this.#onEvent({ event: "attached", partition, firstSeq: log.firstSeq, lastSeq: log.lastSeq })
          this.#step({ _tag: "Attached", ...log, nowMs: performance.now() })
        },
        onAway: (detail) => this.#onEvent({ event: "log-away", partition, detail }),
        onEntries: (entries) => this.#step({ _tag: "Entries", entries }),
      },
    )
  }

  /** What is known here is put aside as evidence, and forgotten. */
  #rejoin(report: HaltReport): void {
    this.#once?.journal.reset()
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
    // first: what is in it does not follow upon the new checkpoint
    this.#once?.journal.reset()
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
    if (this.#truncateMarginEntries === undefined || below <= this.#truncateMarginEntries) return
    try {
      const log = { group: this.#group.group, partition: this.#partition }
      await truncateLog(this.#connection, log, below - this.#truncateMarginEntries)
    } catch (cause) {
      const error = cause instanceof Error ? cause.message : String(cause)
      this.#onEvent({ event: "truncation-failed", partition: this.#partition, error })
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
          peerSubject(this.#group.group, this.#partition, this.#replica, output.to),
          output.bytes,
        )
      case "Journal":
        return this.#once?.journal.write(output)
      case "Trim":
        this.#once?.journal.trim(output.below)
        return this.#keeper?.release(output.below)
      case "Execute": {
        const protocol = this.#protocol
        return this.#once?.executor.run(output.execution, (executed) =>
          this.#step({ _tag: "Executed", executed }, protocol),
        )
      }
      case "Continue":
        return later(() => this.#step({ _tag: "Continue" }))
      case "Persist":
        return this.#keeper?.keep(output.changes)
      case "Attest":
        return this.#attestations.append(output.bytes, 0)
      case "Truncatable":
        // with a journal, checkpoints are at its positions, and not at the log's
        if (this.#once === undefined) this.#keeper?.release(output.below)
        return void this.#truncate(output.below)
      case "Stage":
        return this.#wholeCopies === undefined
          ? this.#stage.add(output.bucket)
          : this.#wholeCopies.stage(output.bucket)
      case "Request":
        return this.#transfers.ask(output.to, output.request)
      case "Install":
        return this.#install(output.checkpoint)
      case "Reign":
      case "Notice":
      case "Membership":
      case "Waits":
        return this.#onEvent(eventOf(output, this.#partition))
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
      case "Uncaught":
        return this.#tellUncaught(output.uncaught)
    }
  }
}
