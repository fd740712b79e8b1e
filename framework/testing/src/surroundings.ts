import type { ActorDefinition } from "@lockstep/actor"
import type { ClientId, Digest, ReplicaId, Roster } from "@lockstep/core"
import type {
  Membership,
  ReplicaOptions,
  ReplicaOutput,
  ReplicaStatus,
  ReplicationMode,
  TransferRequest,
} from "@lockstep/replication"
import type { SimulatedDisk } from "./disk.ts"
import type { Liar } from "./liar.ts"
import type { SimulatedLog } from "./log.ts"
import type { Network } from "./network.ts"
import type { Once } from "./once.ts"
import type { Random } from "./random.ts"
import type { Schedule } from "./schedule.ts"

/** Where a replica sends things. */
export interface Surroundings {
  readonly schedule: Schedule
  readonly network: Network
  readonly log: SimulatedLog
  toClient(from: ReplicaId, to: ClientId, bytes: Uint8Array): void
  /** To all of them, where nobody is named. */
  toPeers(from: ReplicaId, bytes: Uint8Array, to?: ReplicaId): void
  toPeer(from: ReplicaId, to: ReplicaId, request: TransferRequest): void
  onTruncatable(below: number): void
  /** The roster as it is written beside the log. */
  copied(): { readonly roster: Roster; readonly rosterSince: number | undefined }
}

/** What a simulated replica is. */
export interface SimulatedReplicaOptions extends Surroundings {
  readonly replica: ReplicaId
  readonly mode: ReplicationMode
  readonly membership: Membership
  /** The build that it starts with next. */
  readonly definitions: () => ReadonlyMap<string, ActorDefinition>
  readonly settings: Pick<
    ReplicaOptions,
    | "actorBytesMax"
    | "checkpointEveryBatches"
    | "checkpointEveryBytes"
    | "checkpointRows"
    | "determinism"
    | "observer"
    | "sessionLimits"
  >
  readonly disk: SimulatedDisk
  readonly random: Random
  /** By how much its clock is quicker or slower than the others, drawn for each life. */
  readonly drawClockRate: (random: Random) => number
  readonly liar: Liar | undefined
  /** Where one replica executes. */
  readonly once: Once | undefined
  /** The state of a checkpoint that it took, or fetched. */
  readonly onCheckpoint: (seq: number, state: Digest) => void
  /** An entry was executed. */
  readonly onExecuted: (replica: ReplicaId, status: ReplicaStatus) => void
  /** What it says, lies included. */
  readonly onSaid?: ((output: ReplicaOutput) => void) | undefined
}
