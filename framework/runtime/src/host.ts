import { type ActorClass, defineAll, type Determinism } from "@lockstep/actor"
import { GroupName, Partition, ReplicaId } from "@lockstep/core"
import {
  type Acceptance,
  type Connection,
  type ConnectionOptions,
  createGroup,
  describeGroup,
  type Environment,
  type GroupDescriptor,
  GroupMismatch,
  type LogSettings,
  openConnection,
} from "@lockstep/nats"
import type { HaltReport, ReignBegun, ReignNotice, ReplicaRole, ReplicaStatus } from "@lockstep/replication"
import { CHECKPOINT_EVERY_BATCHES, replicaIds } from "./create.ts"
import { checkTogether, hostable } from "./hosting.ts"
import { Seat } from "./seat.ts"
import { admitTelemetry } from "./telemetry/in-commands.ts"
import { Failovers } from "./telemetry/failovers.ts"
import { Replays } from "./telemetry/replays.ts"
import { Records } from "./telemetry/records.ts"
import { SeatMetrics } from "./telemetry/seat-metrics.ts"

/** Which replica of which group runs, and what it hosts. */
export interface HostOptions extends Omit<ConnectionOptions, "name"> {
  /** The classes that the group hosts. All replicas of a group are given the same. */
  readonly actors: ReadonlyArray<ActorClass>
  /** Which replica this is: one of the group's names, or a new one where it is a standby. */
  readonly replica: string
  /** Default: `"main"`. */
  readonly group?: string
  /**
   * The group need not know this replica yet: until an operator names it (`changeMembership`), it follows the log without a vote.
   * It says that the name is no mistake, and nothing else: a replica that has a vote uses it. Default: false.
   */
  readonly standby?: boolean
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
   * A folder for this replica's checkpoints, and its journal where its classes have a primary, of its own. With it, a replica that starts again
   * begins at its last checkpoint; without it, at the first entry of the log, or with what its peers hold.
   */
  readonly dataDir?: string
  /**
   * Bytes of actors in memory, about, for each partition: ones that were not needed for longest are left on the disk until a command
   * needs them. Default: 256 MiB. Without `dataDir` all actors are in memory.
   */
  readonly actorBytesMax?: number
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
  | { readonly event: "restored"; readonly partition: number; readonly seq: number; readonly actors: number }
  /** The log began after what it had executed: it has fetched a checkpoint of its peers, and begins with that. */
  | { readonly event: "installed"; readonly partition: number; readonly seq: number; readonly actors: number }
  /** The group has another roster from here on: from now on this replica votes, stands by, or is not named. */
  | {
      readonly event: "membership"
      readonly partition: number
      readonly epoch: number
      readonly role: ReplicaRole
      readonly voters: ReadonlyArray<string>
      readonly standbys: ReadonlyArray<string>
    }
  /** The log says that another build executes what follows: this one executes nothing, and says why. */
  | { readonly event: "waits"; readonly partition: number; readonly detail: string }
  /** Who is the master, and what that means, is another from here on. */
  | ({ readonly event: "reign"; readonly partition: number } & ReignBegun)
  /** What the master alone says of its reign. */
  | ({ readonly partition: number } & ReignNotice)
  /** The disk refuses what is to be written to the journal. It is tried again and again, and nothing is acknowledged meanwhile. */
  | { readonly event: "journal-failed"; readonly partition: number; readonly error: string }
  /** The end of the journal, so many bytes behind this position, was torn or rotten, and is gone. After a power failure that is nothing unusual. */
  | {
      readonly event: "journal-cut"
      readonly partition: number
      readonly position: number
      readonly bytes: number
    }
  | { readonly event: "truncation-failed"; readonly partition: number; readonly error: string }
  /** The log, as its server shows it, is not what it was: it attaches through another server, where there is one. */
  | ({ readonly event: "log-suspect"; readonly partition: number } & HaltReport)
  /**
   * f+1 others contradict it, or go on where it cannot, or its disk is damaged: it forgets what it knows (`evidence` is a copy), and
   * begins anew, on probation.
   */
  | ({ readonly event: "rejoining"; readonly partition: number; readonly evidence?: string } & HaltReport)
  /** f+1 others attest what it computes, on probation: it votes again. */
  | { readonly event: "trusted"; readonly partition: number }
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
  /**
   * Wishes that another replica became the master: of one partition, or of all. Does nothing where this replica is not the master itself. What comes of
   * it is in `status`, and an event.
   */
  handOver(wish: { readonly to: string; readonly partition?: number }): void
  /** Stops following the log, sends what is decided, and disconnects. */
  drain(): Promise<void>
}

/** Where a group is made without settings: R1 and one gigabyte, for a developer's machine. */
export const DEVELOPMENT_LOG: LogSettings = { copies: 1, maxBytes: 1024 ** 3, maxEntryBytes: 1024 * 1024 }

/**
 * Runs one replica: follows the log of every partition, executes, and votes.
 *
 * Rejects with DefinitionError, LogUnavailable, ServerTooOld, UnknownGroup, GroupMismatch or UnsafeSetting, with
 * WrongBuild where its checkpoint is of classes or versions that it does not have, and with TypeError for options that no
 * group could fulfil.
 */
export async function host(options: HostOptions): Promise<Host> {
  admitTelemetry()
  const { servers, user, password } = options
  const definitions = defineAll(options.actors)
  const replica = ReplicaId(options.replica)
  checkNames(options, replica)
  for (const actorClass of options.actors) checkTogether(actorClass, options.actors[0] ?? actorClass)
  const connection = await openConnection({
    servers,
    name: `lockstep-replica-${replica}`,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
  })
  const seats: Array<Seat> = []
  const measured: Array<SeatMetrics> = []
  const drain = async (): Promise<void> => {
    await Promise.all(seats.map((seat) => seat.close()))
    for (const metrics of measured) metrics.end()
    await connection.close()
  }
  try {
    const group = await joinGroup(connection, options)
    if (options.standby !== true) checkKnown(group, replica)
    for (const actorClass of options.actors) hostable(actorClass, group)
    const environment = options.environment ?? currentEnvironment()
    const determinism = options.determinism ?? (environment === "production" ? "guarded" : "checked")
    for (let index = 0; index < group.partitions; index++) {
      const partition = Partition(index)
      const metrics = new SeatMetrics({ group: group.group, partition, replica })
      const records = new Records({ group: group.group, partition, replica })
      const replays = new Replays({ group: group.group, partition, replica })
      const failovers = new Failovers({ group: group.group, partition, replica })
      const onEvent = (event: HostEvent): void => {
        records.event(event)
        replays.event(event)
        failovers.event(event)
        options.onEvent?.(event)
      }
      const heard = { ...options, onEvent: metrics.hearing(onEvent) }
      const seat = new Seat({
        connection,
        group,
        replica,
        partition,
        definitions,
        options: heard,
        determinism,
        times: metrics.times,
      })
      seats.push(seat)
      metrics.begin(seat)
      measured.push(metrics)
    }
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
      handOver({ to, partition }) {
        const next = ReplicaId(to)
        for (const [index, seat] of seats.entries())
          if (partition === undefined || partition === index) seat.handOver(next)
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
function checkNames({ actors, create, standby }: HostOptions, replica: ReplicaId): void {
  if (actors.length === 0) throw new TypeError("a host needs at least one actor class in `actors`")
  if (create === undefined) return
  const names = replicaIds(create.replicas)
  if (!names.includes(replica) && standby !== true)
    throw new TypeError(
      `replica ${replica} is none of the replicas in \`create\`, which are ${names.join(", ")}`,
    )
}

/** Throws GroupMismatch for a name that the group was not made with, and that no operator has added: it may be misspelt. */
function checkKnown({ group, replicas, rosters }: GroupDescriptor, replica: ReplicaId): void {
  const known = new Set([...replicas, ...rosters.flatMap(({ voters, standbys }) => [...voters, ...standbys])])
  const remedy = "use one of them, or say that it is a new one, which an operator will name (`standby`)"
  if (!known.has(replica)) throw new GroupMismatch(group, "replicas", [...known].join(), replica, remedy)
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
