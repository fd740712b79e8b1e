import type {
  ActorDefinition,
  Determinism,
  Executed,
  Execution,
  Observer,
  Stopwatch,
  UncaughtError,
} from "@lockstep/actor"
import type {
  ClientId,
  Digest,
  Entry,
  GroupName,
  LockstepError,
  Mode,
  Outcome,
  Partition,
  ReplicaId,
  Roster,
  Schema,
  SessionLimits,
  Slice,
} from "@lockstep/core"
import type {
  Checkpoint,
  CheckpointChanges,
  Shelf,
  StagedBucket,
  StagedCheckpoint,
  TransferAnswer,
  TransferRequest,
} from "./checkpoint.ts"
import type { Decision, Dissent, LateVote } from "./decision.ts"
import type { HaltReport } from "./halt.ts"
import type { ClientLimits } from "./limits.ts"
import type { ReignBegun, ReignNotice, ReignStatus } from "./reign.ts"
import type { ShipmentObserver } from "./shipment.ts"

export type { HaltReport } from "./halt.ts"

/**
 * A way to replicate: what `mode` in a class's decorator holds. It makes the two protocols of one partition, which are
 * free of I/O: a shell (in production the NATS one, in tests the simulator) feeds them inputs and carries out outputs.
 */
export interface ReplicationMode extends Mode {
  /** Classes of one lane share batches: they have the same kind and the same rule of decision. */
  readonly lane: string
  /** What it was made with, defaults included: modes of one kind with equal rules keep the same promise. */
  readonly rules: Readonly<Record<string, unknown>>
  /** How many voters must be up, and right, for a command to be answered. */
  readonly quorum: number
  /** How many must hold a checkpoint on their disks before it is surely still there when some of them are gone. */
  readonly holders: number
  /** What a replica keeps of its checkpoints: enough to begin with, or one shard, which needs those of others. */
  readonly storage: "copies" | "shards"
  /** How often a replica is told the time, milliseconds. */
  readonly tickMs: number
  /** What replicas attest in a log, for whoever reads it from here on, with this roster. */
  certificates(log: { readonly from: number; readonly roster: Roster }): Certificates
  replica(options: ReplicaOptions): ReplicaProtocol
  client<Call extends Submission>(options: ClientOptions): ClientProtocol<Call>
}

/** Gathers what replicas attest of their checkpoints. */
export interface Certificates {
  read(entries: ReadonlyArray<Entry>): void
  /** The last checkpoint that so many replicas hold on their disks that the log is not needed below it. */
  readonly durable: { readonly seq: number } | undefined
}

/** One partition of one group, as callers and replicas agree on it. */
export interface Membership {
  readonly group: GroupName
  readonly partition: Partition
  /**
   * For a replica: the roster that the group was made with; it reads the later ones in the log. For a client: the current one,
   * as far as is known.
   */
  readonly roster: Roster
  /** Tells this log from another of the same name that was made in its place. */
  readonly logId: string
}

export interface ReplicaOptions extends Membership {
  readonly replica: ReplicaId
  readonly definitions: ReadonlyMap<string, ActorDefinition>
  readonly determinism: Determinism
  /** Bounds of the session table. A part of the replicated state: all replicas of a partition use the same. */
  readonly sessionLimits?: SessionLimits
  /** A checkpoint is taken each time that so many batches were executed. A part of the replicated state, too. */
  readonly checkpointEveryBatches?: number
  /** One is due after so many bytes of batches (where one replica executes: of records), too, likewise. Default: however many they are. */
  readonly checkpointEveryBytes?: number
  /** How many rows of a checkpoint are taken at a time, while commands go on. Each replica may have its own number. */
  readonly checkpointRows?: number
  /** This replica was wrong before. */
  readonly probation?: Probation
  /** Where to begin: a checkpoint of this replica's own, in place of the beginning of the log. */
  readonly restore?: Checkpoint
  /** The header of the checkpoint that it keeps a shard of: nothing to begin with, but it says what the log is executed with. */
  readonly shardOf?: Uint8Array
  /**
   * Where the rows of what was persisted can be read again: actors that are not needed leave memory. Without it, a checkpoint that the
   * replica begins with is on nobody's disk that it knows of.
   */
  readonly shelf?: Shelf
  /** Bytes of actors that stay in memory, about, although the shelf holds them. */
  readonly actorBytesMax?: number
  /** Buckets of peers' checkpoints that an earlier attempt to fetch one has staged. */
  readonly staged?: Iterable<Digest>
  /** Tells this life of the replica from all others, before and after it. (The shell draws it at random.) */
  readonly incarnation?: string
  /** What is in the journal on this replica's disk, in its order, as far as it is whole. */
  readonly journal?: Iterable<Uint8Array>
  /** Watches commands that are traced, where the protocol executes them itself. */
  readonly observer?: Observer
  /** Measures commands, likewise. */
  readonly stopwatch?: Stopwatch
  /** Watches where what traced commands came to goes, where one replica executes. */
  readonly shipments?: ShipmentObserver
}

/** A replica of one partition. It never reads a clock, draws a random number, opens a socket or awaits. */
export interface ReplicaProtocol {
  /**
   * `nowMs`: monotonic milliseconds of the shell's own clock; left out, it is as late as it was told last. It never decides anything that all
   * replicas must decide alike.
   */
  step(input: ReplicaInput, nowMs?: number): ReadonlyArray<ReplicaOutput>
  readonly status: ReplicaStatus
}

export type ReplicaInput =
  /** The log is connected (again), and holds these positions, as far as the server knows just now. */
  | {
      readonly _tag: "Attached"
      readonly logId: string
      readonly firstSeq: number
      readonly lastSeq: number
      /** The current roster, as it is written beside the log. Only a replica that cannot read the log's beginning needs it. */
      readonly roster?: Roster
      /** Where in the log that was stated, if that is known. */
      readonly rosterSince?: number | undefined
      readonly nowMs: number
    }
  /** Entries in the order of the log, from `status.from` on. */
  | { readonly _tag: "Entries"; readonly entries: ReadonlyArray<Entry> }
  /** A message of a client, unauthenticated. */
  | { readonly _tag: "Message"; readonly bytes: Uint8Array }
  /** A message on the subject of this peer, which the server authenticated as far as it is configured to. */
  | { readonly _tag: "Peer"; readonly from: string; readonly bytes: Uint8Array }
  /** A peer's answer, as far as the server authenticated it. */
  | { readonly _tag: "Answer"; readonly from: ReplicaId; readonly answer: TransferAnswer }
  /** What a `Continue` asked for. */
  | { readonly _tag: "Continue" }
  /** The changes of a `Persist` are on the disk. */
  | { readonly _tag: "Persisted"; readonly seq: number }
  /** All that was written to the journal, up to this write, is on the disk. */
  | { readonly _tag: "Journaled"; readonly write: number }
  /** What an `Execute` came to. */
  | { readonly _tag: "Executed"; readonly executed: Executed }
  /** An operator asks the master to make this replica the master in its place, once that one has everything. */
  | { readonly _tag: "HandOver"; readonly to: ReplicaId }
  /** The process is to end: the others are to go on without it. Say it until `status.reign` says `mayLeave`. */
  | { readonly _tag: "Leave" }
  /** Time passes: monotonic milliseconds of the shell's own clock. Never decides anything that is replicated. */
  | { readonly _tag: "Tick"; readonly nowMs: number }

export type ReplicaOutput =
  | { readonly _tag: "Send"; readonly to: ClientId; readonly bytes: Uint8Array }
  /** To one other replica of the partition, or to all of them. */
  | { readonly _tag: "Tell"; readonly bytes: Uint8Array; readonly to?: ReplicaId }
  /**
   * The journal on the disk is, from this position on, these records and nothing else: what stood there is replaced. Writes are numbered, and reach
   * the disk in their order; say `Journaled` once they have, for several of them at a time.
   */
  | {
      readonly _tag: "Journal"
      readonly write: number
      readonly from: number
      readonly records: ReadonlyArray<Uint8Array>
    }
  /** A checkpoint on the disk holds all that the journal says below this position. */
  | { readonly _tag: "Trim"; readonly below: number }
  /** Run these commands here, and only here; then say what they came to. */
  | { readonly _tag: "Execute"; readonly execution: Execution }
  /** Who is the master, and what that means, is another from here on. */
  | { readonly _tag: "Reign"; readonly report: ReignBegun }
  /** For operators, from the master. */
  | { readonly _tag: "Notice"; readonly notice: ReignNotice }
  /** There is more to do than should be done at a time: say `Continue` once what waits has had its turn. */
  | { readonly _tag: "Continue" }
  /** Keep these changes, all or nothing; then say so. */
  | { readonly _tag: "Persist"; readonly changes: CheckpointChanges }
  /** To the log, in this replica's name: at least once, or never. */
  | { readonly _tag: "Attest"; readonly bytes: Uint8Array }
  /** f+1 replicas hold a checkpoint at this position on their disks: the log is not needed below it. */
  | { readonly _tag: "Truncatable"; readonly below: number }
  /** To a peer, which answers from its disk. */
  | { readonly _tag: "Request"; readonly to: ReplicaId; readonly request: TransferRequest }
  /** Keep this bucket of a peer's checkpoint aside, until all of them are there. */
  | { readonly _tag: "Stage"; readonly bucket: StagedBucket }
  /** Keep this checkpoint, all of which is staged, in place of all that is kept, and begin with it: this protocol is done. */
  | { readonly _tag: "Install"; readonly checkpoint: StagedCheckpoint }
  /** The log has stated another roster. */
  | { readonly _tag: "Membership"; readonly roster: Roster; readonly role: ReplicaRole }
  /** It executes nothing, because the log says that another build does, and tells why. It goes on saying what it knows. */
  | { readonly _tag: "Waits"; readonly detail: string }
  /** Attach to the log again, at `status.from`; through another server, where this one's log is complained of. */
  | { readonly _tag: "Reattach"; readonly complaint?: HaltReport }
  /**
   * f+1 others contradict this replica, or go on where it cannot, or its disk is damaged: keep what it knows as evidence, forget it,
   * and begin anew, on probation, through another server. This protocol is done.
   */
  | { readonly _tag: "Rejoin"; readonly report: HaltReport }
  /** f+1 others attest what a replica on probation computes: from now on it speaks again. */
  | { readonly _tag: "Trusted" }
  /** The replica refuses to go on: what it would do next could be wrong. Nothing follows. */
  | { readonly _tag: "Halt"; readonly report: HaltReport }
  /** For the operator's log. */
  | { readonly _tag: "Uncaught"; readonly uncaught: UncaughtError }

/**
 * A replica that was wrong, or read a log that was, begins anew, and says nothing until f+1 others attest what it computes. One that
 * passed goes on as before; but the next time that it is wrong is no accident, and it halts.
 */
export type Probation = "open" | "passed"

/** `"unlisted"`: the roster does not name it, because it is new or because it was removed. Without a vote it follows the log. */
export type ReplicaRole = "voter" | "standby" | "unlisted"

export interface ReplicaStatus {
  /** The last position that was executed; 0 before the first. */
  readonly applied: number
  readonly chain: Digest
  /** Where to read the log from: the last executed entry once more, to check that it is still the same. */
  readonly from: number
  /** Everything that was in the log when the replica started has been executed. */
  readonly caughtUp: boolean
  readonly halted: HaltReport | undefined
  readonly actors: number
  /** Actors that are in memory. */
  readonly resident: number
  readonly sessions: number
  /** Commands executed, batches answered from the session table, entries and messages that were not understood. */
  readonly executed: number
  /** The last checkpoint that f+1 replicas agree on, and the last one that f+1 of them hold on their disks; 0 before the first. */
  readonly stable: number
  readonly durable: number
  /** At the last position that was executed. */
  readonly roster: Roster
  readonly role: ReplicaRole
  /** It was wrong before: it executes, and does not vote. */
  readonly onProbation: boolean
  /** To be handed to the protocol that takes this one's place. */
  readonly probation: Probation | undefined
  /** What entries are executed with, at the last position that was executed. */
  readonly schema: Schema
  /** Why this build executes nothing, where the log says that another one does. */
  readonly waits: string | undefined
  readonly repeated: number
  readonly malformed: number
  /** In a mode with a single master. */
  readonly reign?: ReignStatus
  /** A digest of all state: equal on correct replicas at equal positions. Costs time in proportion to the state. */
  stateDigest(): Digest
}

export interface ClientOptions extends Membership {
  readonly client: ClientId
  readonly limits: ClientLimits
}

/** Turns commands into decisions, for one client in one partition. `Call` is the shell's own mark of a call. */
export interface ClientProtocol<Call> {
  step(input: ClientInput<Call>): ReadonlyArray<ClientOutput<Call>>
  /** Whether anything waits: the shell sends ticks only then. */
  readonly busy: boolean
  readonly counts: ClientCounts
  /**
   * Where replicas vote: how many more of them may fail before decisions lack votes, as the last ones show. Undefined before the first.
   */
  margin?(nowMs: number): number | undefined
}

/** What the votes were, since the start; and what waits now. */
export interface ClientCounts {
  readonly batches: number
  readonly commands: number
  readonly matched: number
  /** The same, by replica. */
  readonly matches: ReadonlyMap<ReplicaId, number>
  /** Votes that differed from the decision, by replica. */
  readonly dissents: ReadonlyMap<ReplicaId, number>
  /** Votes of no voter, of another epoch, for another group, or that were not understood. */
  readonly strangers: number
  /** Entries that were sent again, and votes that were asked for. */
  readonly appendedAgain: number
  readonly asked: number
  /** Commands that wait for their answers now, those included that are not sent yet; and the batches that these are gathered in. */
  readonly waiting: number
  readonly unsent: number
}

/**
 * What a query sees. `"linearizable"`: everything that was answered before it began. A bound: everything that was answered so many milliseconds before,
 * and what this client was told itself; any replica may answer then.
 */
export type Reads = "linearizable" | { readonly maxStalenessMs: number }

/** A call, as its client sends it. */
export interface Submission {
  readonly type: string
  readonly member: string
  readonly key: string
  /** Canonical bytes of the array of arguments. */
  readonly args: Slice
  /** What the replicas hang what they do below, where the call is traced. */
  readonly trace: string | undefined
  /** What a query may miss. Default: nothing. A command has none. */
  readonly reads?: Reads | undefined
}

export type ClientInput<Call> =
  | { readonly _tag: "Submit"; readonly calls: ReadonlyArray<Call>; readonly nowMs: number }
  /** The turn of the event loop is over: what was submitted goes out. */
  | { readonly _tag: "Flush"; readonly nowMs: number }
  /** The log's answer to an `Append`, by its token. */
  | { readonly _tag: "Appended"; readonly token: number; readonly seq: number }
  | {
      readonly _tag: "AppendRefused"
      readonly token: number
      readonly detail: string
      readonly nowMs: number
    }
  | { readonly _tag: "AppendUnknown"; readonly token: number; readonly nowMs: number }
  /** A message on the vote subject of this replica, which the server authenticated as far as it is configured to. */
  | { readonly _tag: "Vote"; readonly from: string; readonly bytes: Uint8Array; readonly nowMs: number }
  /** Nobody listened when the `Ask` of this token was sent: it was received by nobody, and never will be. */
  | { readonly _tag: "Unheard"; readonly token: number; readonly nowMs: number }
  | { readonly _tag: "Reconnected"; readonly nowMs: number }
  /** What was read after a `Refresh`: perhaps no news. */
  | { readonly _tag: "Roster"; readonly roster: Roster; readonly nowMs: number }
  /** Wait again for a command that ended undecided. */
  | { readonly _tag: "Retry"; readonly number: number; readonly call: Call; readonly nowMs: number }
  | { readonly _tag: "Tick"; readonly nowMs: number }
  /** The caller goes away: everything that waits is settled now. */
  | { readonly _tag: "Close"; readonly nowMs: number }

export type ClientOutput<Call> =
  /** `calls`: whose commands these bytes are; undefined for one that has ended. */
  | {
      readonly _tag: "Append"
      readonly token: number
      readonly bytes: Uint8Array
      readonly calls: ReadonlyArray<Call | undefined>
    }
  /** With a token: the protocol wants to know where nobody listens (`Unheard`). */
  | {
      readonly _tag: "Ask"
      readonly replica: ReplicaId
      readonly bytes: Uint8Array
      readonly token?: number
      readonly calls?: ReadonlyArray<Call | undefined>
    }
  /** All that was decided together. `calls`: whose commands had these outcomes, in their order; undefined for one that has ended. */
  | {
      readonly _tag: "Settle"
      readonly calls: ReadonlyArray<Call | undefined>
      readonly outcomes: ReadonlyArray<Outcome>
      readonly seq: number
      /** Where replicas vote: how that went. */
      readonly decision?: Decision
    }
  /** `calls`: those that it was sent with, in their order, where that is known. */
  | {
      readonly _tag: "Fail"
      readonly call: Call
      readonly error: LockstepError
      readonly calls?: ReadonlyArray<Call | undefined>
    }
  /** The group may have another roster by now: read it where it is written beside the log. */
  | { readonly _tag: "Refresh" }
  | ({ readonly _tag: "Late" } & LateVote)
  /** With the commands, by index, whose outcomes differed: none where others differ than these, or nobody knows. */
  | ({ readonly _tag: "Dissent"; readonly differing: () => ReadonlyArray<number> } & Dissent)
