import { type ActorClass, type ActorDefinition, defineAll, type Determinism } from "@lockstep/actor"
import { GroupName, invariant, Malformed, Partition, ReplicaId } from "@lockstep/core"
import {
  type Acceptance,
  type Appender,
  type Connection,
  type ConnectionOptions,
  createGroup,
  describeGroup,
  type Environment,
  type GroupDescriptor,
  GroupMismatch,
  type LogSettings,
  openAppender,
  openConnection,
  openTail,
  truncateLog,
  type Tail,
} from "@lockstep/nats"
import type {
  Checkpoint,
  HaltReport,
  ReplicaInput,
  ReplicaOptions,
  ReplicaOutput,
  ReplicaProtocol,
  ReplicaStatus,
} from "@lockstep/replication"
import { hostable } from "./connect.ts"
import { CHECKPOINT_EVERY_BATCHES, replicaIds } from "./create.ts"
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

/** Which replica of which group runs, and what it hosts. */
export interface HostOptions extends Omit<ConnectionOptions, "name"> {
  /** The classes that the group hosts. All replicas of a group are given the same. */
  readonly actors: ReadonlyArray<ActorClass>
  /** Which replica this is: one of the group's names. */
  readonly replica: string
  /** Default: `"main"`. */
  readonly group?: string
  /** Makes the group, if there is none, with these replicas. Where it is left out, the group must exist. */
  readonly create?: {
    readonly replicas: ReadonlyArray<string>
    readonly partitions?: number
    readonly checkpointEveryBatches?: number
    readonly log?: Partial<LogSettings>
  }
  /** Default: `"production"` where NODE_ENV says so, `"development"` elsewhere. Production refuses unsafe settings. */
  readonly environment?: Environment
  /**
   * A folder for this replica's checkpoints, of its own. With it, a replica that starts again begins at its last checkpoint;
   * without it, at the first entry of the log.
   */
  readonly dataDir?: string
  /**
   * Lets this replica truncate the log behind checkpoints that f+1 replicas hold on their disks, but for so many entries: ones
   * that are a little behind need not fetch a checkpoint. Needs the permission to purge. Default: it truncates nothing.
   */
  readonly truncateMarginEntries?: number
  /** Unsafe settings that are knowingly accepted. */
  readonly accept?: ReadonlyArray<Acceptance>
  /** Default: `"checked"` (every command runs twice) in development, `"guarded"` in production. All replicas use one. */
  readonly determinism?: Determinism
  /** What it throws is an uncaught exception of the process, and does not stop the replica. */
  readonly onEvent?: (event: HostEvent) => void
}

/** Something that an operator should read. */
export type HostEvent =
  | {
      readonly event: "attached"
      readonly partition: number
      readonly firstSeq: number
      readonly lastSeq: number
    }
  | {
      readonly event: "caught-up"
      readonly partition: number
      readonly seq: number
      readonly executed: number
    }
  /** The log cannot be reached; the replica waits for it. */
  | { readonly event: "log-away"; readonly partition: number; readonly detail: string }
  | ({ readonly event: "halted"; readonly partition: number } & HaltReport)
  /** It begins at a checkpoint of its own, instead of at the first entry. */
  | { readonly event: "restored"; readonly partition: number; readonly seq: number; readonly rows: number }
  /** The log began after what it had executed: it has fetched a checkpoint of its peers, and begins with that. */
  | { readonly event: "installed"; readonly partition: number; readonly seq: number; readonly rows: number }
  | { readonly event: "truncation-failed"; readonly partition: number; readonly error: string }
  /** f+1 others attest another state: it forgets its own (`evidence` is a copy), and begins anew, on probation. */
  | {
      readonly event: "diverged"
      readonly partition: number
      readonly detail: string
      readonly evidence?: string
    }
  /** Its checkpoint is damaged, and forgotten: it begins at the first entry. */
  | { readonly event: "checkpoint-damaged"; readonly partition: number; readonly error: string }
  /** A checkpoint could not be kept; it is tried again with the next one. */
  | { readonly event: "checkpoint-failed"; readonly partition: number; readonly error: string }
  | { readonly event: "actor-threw"; readonly target: string; readonly seq: number; readonly error: string }
  | { readonly event: "failed"; readonly partition: number; readonly error: string }

/** One replica of a group, running in this process. */
export interface Host extends AsyncDisposable {
  readonly group: GroupDescriptor
  readonly replica: ReplicaId
  /** By partition. */
  readonly status: ReadonlyArray<ReplicaStatus>
  /** It follows the log: no partition has halted. */
  readonly live: boolean
  /** It has executed all that was in the log when it started. */
  readonly caughtUp: boolean
  /** Stops following the log, sends what is decided, and disconnects. */
  drain(): Promise<void>
}

/** Where a group is made without settings: R1 and one gigabyte, for a developer's machine. */
export const DEVELOPMENT_LOG: LogSettings = { copies: 1, maxBytes: 1024 ** 3, maxEntryBytes: 1024 * 1024 }

/**
 * Runs one replica: follows the log of every partition, executes, and votes.
 *
 * Rejects with DefinitionError, LogUnavailable, ServerTooOld, UnknownGroup, GroupMismatch or UnsafeSetting, and with
 * TypeError for options that no group could fulfil.
 */
export async function host(options: HostOptions): Promise<Host> {
  const { servers, user, password } = options
  const definitions = defineAll(options.actors)
  const replica = ReplicaId(options.replica)
  checkNames(options, replica)
  const connection = await openConnection({
    servers,
    name: `lockstep-replica-${replica}`,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
  })
  const seats: Array<Seat> = []
  const drain = async (): Promise<void> => {
    for (const seat of seats) seat.close()
    await connection.close()
  }
  try {
    const group = await joinGroup(connection, options)
    if (!group.replicas.includes(replica))
      throw new GroupMismatch(group.group, "replicas", group.replicas.join(), replica)
    for (const actorClass of options.actors) hostable(actorClass, group)
    for (let index = 0; index < group.partitions; index++)
      seats.push(new Seat({ connection, group, replica, partition: Partition(index), definitions, options }))
    return {
      group,
      replica,
      get status() {
        return seats.map((seat) => seat.status)
      },
      get live() {
        return seats.every((seat) => seat.live)
      },
      get caughtUp() {
        return seats.every((seat) => seat.status.caughtUp)
      },
      drain,
      [Symbol.asyncDispose]: drain,
    }
  } catch (cause) {
    await drain()
    throw cause
  }
}

/** Whether this process is one that customers depend on. */
export function currentEnvironment(): Environment {
  return process.env["NODE_ENV"] === "production" ? "production" : "development"
}

/** What can be known to be wrong before anything is sent. */
function checkNames({ actors, create }: HostOptions, replica: ReplicaId): void {
  if (actors.length === 0) throw new TypeError("a host needs at least one actor class in `actors`")
  if (create === undefined) return
  const names = replicaIds(create.replicas)
  if (!names.includes(replica))
    throw new TypeError(
      `replica ${replica} is none of the replicas in \`create\`, which are ${names.join(", ")}`,
    )
}

function joinGroup(connection: Connection, options: HostOptions): Promise<GroupDescriptor> {
  const group = GroupName(options.group ?? "main")
  const safety = { environment: options.environment ?? currentEnvironment(), accept: options.accept ?? [] }
  if (options.create === undefined) return describeGroup(connection, group, safety)
  return createGroup(connection, {
    group,
    replicas: replicaIds(options.create.replicas),
    partitions: options.create.partitions ?? 1,
    checkpointEveryBatches: options.create.checkpointEveryBatches ?? CHECKPOINT_EVERY_BATCHES,
    log: { ...DEVELOPMENT_LOG, ...options.create.log },
    ...safety,
  })
}

/** How often a replica's protocol is told the time, milliseconds. */
const TICK_MS = 500

/** The shell around one replica protocol: one partition's log on one side, clients on the other. */
class Seat {
  #protocol: ReplicaProtocol
  readonly #make: (begin: Pick<ReplicaOptions, "onProbation" | "restore">) => ReplicaProtocol
  #repairs = 0
  readonly #truncateMarginEntries: number | undefined
  readonly #tail: Tail
  readonly #keeper: Keeper | undefined
  readonly #attestations: Appender
  readonly #connection: Connection
  readonly #group: GroupDescriptor
  readonly #replica: ReplicaId
  readonly #partition: Partition
  readonly #onEvent: (event: HostEvent) => void
  readonly #stops: Array<() => void>
  #caughtUp = false
  #failed = false

  constructor(seat: {
    readonly connection: Connection
    readonly group: GroupDescriptor
    readonly replica: ReplicaId
    readonly partition: Partition
    readonly definitions: ReadonlyMap<string, ActorDefinition>
    readonly options: HostOptions
  }) {
    const { connection, group, replica, partition, definitions, options } = seat
    const environment = options.environment ?? currentEnvironment()
    this.#connection = connection
    this.#group = group
    this.#replica = replica
    this.#partition = partition
    this.#onEvent = (event) => tell(options.onEvent, event)
    const [actorClass] = options.actors
    invariant(actorClass !== undefined, "a host has at least one actor class")
    const logId = group.logIds[partition] ?? ""
    this.#keeper =
      options.dataDir === undefined
        ? undefined
        : new Keeper(
            options.dataDir,
            { group: group.group, replica, partition, logId },
            this.#onEvent,
            (seq) => this.#step({ _tag: "Persisted", seq }),
          )
    this.#truncateMarginEntries = options.truncateMarginEntries
    this.#make = (begin) =>
      hostable(actorClass, group).replica({
        group: group.group,
        epoch: group.epoch,
        replicas: group.replicas,
        partition,
        logId,
        replica,
        definitions,
        determinism: options.determinism ?? (environment === "production" ? "guarded" : "checked"),
        checkpointEveryBatches: group.checkpointEveryBatches,
        ...begin,
      })
    this.#protocol = this.#keeper?.restore((restore) => this.#make({ restore })) ?? this.#make({})
    this.#attestations = openAppender(
      connection,
      { group: group.group, partition, writer: { replica } },
      () => undefined, // the protocol says it again when the log does not show it
    )
    this.#tail = openTail(
      connection,
      { group: group.group, partition, from: () => this.#protocol.status.from },
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

  /** A peer fetches this replica's checkpoint, or answers with its own. */
  #transfer(from: string, bytes: Uint8Array): void {
    const other = this.#group.replicas.find((replica) => replica === from && replica !== this.#replica)
    if (other === undefined) return
    try {
      const message = decodeTransfer(bytes)
      if (message._tag === "Answers") this.#step({ _tag: "Answer", from: other, answer: message.answer })
      else
        for (const answer of this.#keeper?.read(other, message.request) ?? [])
          this.#tellPeer(other, { _tag: "Answers", answer })
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
    }
  }

  #tellPeer(to: ReplicaId, message: TransferMessage): void {
    const subject = transferSubject(this.#group.group, this.#partition, to, this.#replica)
    this.#connection.publish(subject, encodeTransfer(message))
  }

  /**
   * f+1 others contradict this replica: what it knows is put aside as evidence, and it begins anew, from the log or from their
   * checkpoint. It votes again when they agree with it. A second time is no accident: then it halts.
   */
  #repair(report: HaltReport): void {
    const evidence = this.#keeper?.putAside(report.applied)
    const partition = this.#partition
    this.#onEvent({ event: "diverged", partition, detail: report.detail, ...(evidence && { evidence }) })
    this.#protocol = this.#make({ onProbation: true })
    this.#tail.reattach()
  }

  /** Begins anew with a checkpoint of the others. */
  #install(restore: Checkpoint): void {
    this.#keeper?.replace(restore)
    this.#protocol = this.#make({ restore, onProbation: this.#protocol.status.onProbation })
    const { applied } = this.#protocol.status
    this.#onEvent({
      event: "installed",
      partition: this.#partition,
      seq: applied,
      rows: restore.rows.size,
    })
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
        return void this.#truncate(output.below)
      case "Request":
        return this.#tellPeer(output.to, { _tag: "Asks", request: output.request })
      case "Install":
        return this.#install(output.checkpoint)
      case "Reattach":
        return this.#tail.reattach()
      case "Halt":
        if (output.report.reason === "state-diverged" && this.#repairs++ === 0)
          return this.#repair(output.report)
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
