import type { Actors, Changes } from "@lockstep/actor"
import {
  type Attestation,
  type Digest,
  encodeAttestation,
  type Epoch,
  type Roster,
  type SessionTable,
} from "@lockstep/core"
import {
  ACTOR_BYTES_MAX,
  BUCKETS_AT_A_TIME,
  CHECKPOINT_ROWS,
  type Checkpoint,
  CHECKPOINT_COMMANDS_MAX,
  type CheckpointChanges,
} from "../checkpoint.ts"
import type { Coding } from "../erasure-coded.ts"
import type { ReplicaOptions } from "../mode.ts"
import { Checkpointer, type CheckpointHeader } from "./checkpoint.ts"
import type { Mandate } from "./mandate.ts"
import { type Quorum, Stability } from "./stability.ts"

/** After so many ticks without hearing itself in the log, a replica attests its last checkpoint again, or keeps it again. */
const ATTEST_AGAIN_TICKS = 4

/** How many say what of a checkpoint, and what they keep of it. */
export interface Holding extends Quorum {
  /** Undefined: whole copies. */
  readonly coding: Coding | undefined
}

/** What this replica computed at a checkpoint. */
interface Taken {
  readonly chain: Digest
  readonly state: Digest
  /** It is in the past of the log: others have attested it, or nobody will in that epoch. */
  readonly isReplayed: boolean
  /** Another build may begin with it, whether or not the log shows that it was attested. */
  readonly isUpgrade: boolean
  /** In which it was taken. */
  readonly epoch: Epoch
  /** Whether what is kept of it is what others need: a copy, or a shard. */
  readonly isKept: boolean
  durable: boolean
}

/** What an attestation leads to. */
export interface Heard {
  /** f+1 replicas attest another state than this replica has. */
  readonly diverged?: string
  /** f+1 replicas attest the state that this replica has just computed. */
  readonly confirmed?: boolean
  /** The log is not needed below this position any more. */
  readonly truncatable?: number
}

/** A checkpoint whose rows are not all taken yet. */
interface Underway {
  readonly position: Omit<CheckpointHeader, "root">
  readonly slot: number
  readonly isReplayed: boolean
  /** Rows that were to be taken at its position. */
  readonly rows: number
}

/** When checkpoints are due, what they hold, and what all replicas say of them. */
export class Checkpoints {
  readonly #options: ReplicaOptions
  readonly #mandate: Mandate
  readonly #actors: Actors
  readonly #sessions: SessionTable
  readonly #checkpointer: Checkpointer
  readonly #stability: Stability
  /** Checkpoints of this replica from the last durable one on, by position. */
  readonly #taken = new Map<number, Taken>()
  /** How many shards there are of a checkpoint; 0 of whole copies. */
  readonly #shards: number
  /** Batches, and commands and bytes of them, since the last checkpoint. */
  #batches = 0
  #commands = 0
  #bytes = 0
  #ticks = 0
  readonly #changes: Changes | undefined
  #underway: Underway | undefined
  /** Whether the shell was asked for time for more of it. */
  #hasAsked = false
  /** A checkpoint at an upgrade that is not on the disk yet: it may be the last one of this build, so nothing makes up for it. */
  #unkept: CheckpointChanges | undefined

  constructor(
    options: ReplicaOptions,
    holding: Holding,
    mandate: Mandate,
    actors: Actors,
    sessions: SessionTable,
  ) {
    this.#options = options
    this.#mandate = mandate
    this.#actors = actors
    this.#sessions = sessions
    this.#stability = new Stability(holding, mandate.roster.voters)
    this.#checkpointer = new Checkpointer(holding.coding)
    const { data = 0, parity = 0 } = holding.coding ?? {}
    this.#shards = data + parity
    if (options.checkpointEveryBatches === undefined) return
    const { shelf, actorBytesMax: bytesMax = ACTOR_BYTES_MAX } = options
    const mayLeave = shelf !== undefined && holding.coding === undefined // a shard is no row
    this.#changes = actors.noteChanges(
      mayLeave ? { shelf: this.#checkpointer.actorsOn(shelf), bytesMax } : undefined,
    )
    sessions.noteChanges()
  }

  /** The last checkpoint that f+1 replicas agree on; 0 before the first. */
  get stable(): number {
    return this.#stability.stable?.seq ?? 0
  }

  /** The last one that f+1 replicas hold on their disks; 0 before the first. */
  get durable(): number {
    return this.#stability.durable?.seq ?? 0
  }

  /** Begins where a checkpoint was taken. Throws Malformed for one that is damaged. */
  restore(checkpoint: Checkpoint): CheckpointHeader {
    const { header, state, sessions } = this.#checkpointer.restore(checkpoint, (row) =>
      this.#actors.restore(row),
    )
    this.#sessions.restore(sessions)
    const { seq, chain, roster, since } = header
    const isUpgrade = since === seq
    const { epoch } = roster
    // it came from this replica's own disk, or was put there; but of shards it is not there yet, and without a disk it never is
    const durable = this.#shards === 0 && this.#options.shelf !== undefined
    const isKept = this.#shards === 0 || this.#slotIn(roster) >= 0
    this.#taken.set(seq, { chain, state, isReplayed: true, isUpgrade, epoch, isKept, durable })
    return header
  }

  /** What is to be kept of the checkpoint that the replica began with, where that is not all that it was given. */
  keep(checkpoint: Checkpoint): CheckpointChanges | undefined {
    return this.#checkpointer.keep(checkpoint, this.#slot)
  }

  /**
   * A batch was executed: marks a checkpoint if one is due, at the same entry on all replicas. Of one that is under way so many rows are taken that it is
   * complete before the next one is due, after however many batches, commands or bytes that is. Yields those that are complete.
   */
  executed(
    position: Omit<CheckpointHeader, "root">,
    batch: { readonly commands: number; readonly bytes: number; readonly isReplayed: boolean },
  ): ReadonlyArray<CheckpointChanges> {
    const { checkpointEveryBatches, checkpointEveryBytes = Number.POSITIVE_INFINITY } = this.#options
    if (checkpointEveryBatches === undefined) return NONE
    const { commands, bytes, isReplayed } = batch
    const share = Math.max(
      1 / checkpointEveryBatches,
      commands / CHECKPOINT_COMMANDS_MAX,
      bytes / checkpointEveryBytes,
    )
    const complete = this.#takeRows(Math.ceil((this.#underway?.rows ?? 0) * share))
    this.#commands += commands
    this.#bytes += bytes
    const isDue =
      ++this.#batches >= checkpointEveryBatches ||
      this.#commands >= CHECKPOINT_COMMANDS_MAX ||
      this.#bytes >= checkpointEveryBytes
    if (!isDue) return complete
    return [...complete, ...this.#mark(position, isReplayed, this.#options.checkpointRows ?? CHECKPOINT_ROWS)]
  }

  /** The log states another schema: all replicas take a checkpoint at that entry, for the builds that go on from there. */
  upgraded(position: Omit<CheckpointHeader, "root">, isReplayed: boolean): ReadonlyArray<CheckpointChanges> {
    if (this.#options.checkpointEveryBatches === undefined) return NONE
    const complete = this.#mark(position, isReplayed, Number.POSITIVE_INFINITY)
    this.#unkept = complete.at(-1)
    return complete
  }

  /** A tick: what is to be kept once more, because the disk has not taken it. */
  overdue(): ReadonlyArray<CheckpointChanges> {
    const isTime = this.#ticks % ATTEST_AGAIN_TICKS === ATTEST_AGAIN_TICKS - 1
    return isTime && this.#unkept !== undefined ? [this.#unkept] : NONE
  }

  /** What is to be in the checkpoint is what is there now; its rows are taken from here on, and those of one that is under way before. */
  #mark(
    position: Omit<CheckpointHeader, "root">,
    isReplayed: boolean,
    rows: number,
  ): ReadonlyArray<CheckpointChanges> {
    this.#batches = this.#commands = this.#bytes = 0
    const before = this.#takeRows(Number.POSITIVE_INFINITY)
    this.#changes?.mark(position.seq)
    this.#checkpointer.gather({ sessions: this.#sessions.takeChanges() })
    this.#underway = { position, slot: this.#slot, isReplayed, rows: this.#changes?.owed ?? 0 }
    return [...before, ...this.#takeRows(rows)]
  }

  /** There is time for more of the checkpoint that is under way. Yields it once it is complete. */
  proceed(): ReadonlyArray<CheckpointChanges> {
    this.#hasAsked = false
    return this.#takeRows(this.#options.checkpointRows ?? CHECKPOINT_ROWS)
  }

  /** Whether the shell is to be asked for time, which it is once until it says that there is some. */
  asks(): boolean {
    if (this.#underway === undefined || this.#hasAsked) return false
    return (this.#hasAsked = true)
  }

  #takeRows(countMax: number): ReadonlyArray<CheckpointChanges> {
    if (this.#underway === undefined || this.#changes === undefined) return NONE
    this.#checkpointer.gather({ actors: this.#changes.take(countMax) })
    if (this.#changes.owed > 0 || !this.#checkpointer.digestSome(Math.max(countMax, BUCKETS_AT_A_TIME)))
      return NONE
    const { position, slot, isReplayed } = this.#underway
    this.#underway = undefined
    const changes = this.#checkpointer.take(position, slot)
    const { seq, chain, since } = position
    const { epoch } = position.roster
    const { state } = changes
    const isKept = this.#shards === 0 || slot >= 0
    this.#taken.set(seq, {
      chain,
      state,
      isReplayed,
      isUpgrade: since === seq,
      epoch,
      isKept,
      durable: false,
    })
    this.#ticks = 0
    return [changes]
  }

  /** The changes are on this replica's disk. */
  persisted(seq: number): Uint8Array | undefined {
    const taken = this.#taken.get(seq)
    if (taken === undefined) return undefined
    if (this.#unkept !== undefined && seq >= this.#unkept.seq) this.#unkept = undefined
    taken.durable = taken.isKept
    this.#actors.shelved(seq)
    return this.attestation(seq)
  }

  /**
   * The roster is another one: what was said in the old epoch counts no longer, where it has not sufficed. So that replicas which
   * join later find it attested by voters whom they know, the last checkpoint is attested again.
   */
  reconfigured(): void {
    this.#stability.adopt(this.#mandate.roster.voters)
    this.#ticks = 0
  }

  /** What to say of a checkpoint in the log; nothing where it is in the past of this epoch, or where it would not count. */
  attestation(seq: number): Uint8Array | undefined {
    const taken = this.#taken.get(seq)
    const { epoch } = this.#mandate.roster
    if (taken === undefined || !this.#mandate.maySpeak) return undefined
    if (taken.isReplayed && taken.epoch === epoch && !taken.isUpgrade) return undefined
    const { replica } = this.#options
    const { chain, state, durable } = taken
    return encodeAttestation({ replica, epoch, seq, chain, state, durable })
  }

  /** What to say again, because the log does not show it. */
  tick(): Uint8Array | undefined {
    const [last] = [...this.#taken.keys()].slice(-1)
    if (last === undefined || ++this.#ticks % ATTEST_AGAIN_TICKS !== 0) return undefined
    const taken = this.#taken.get(last)
    const said = this.#stability.said(last, this.#options.replica)
    return taken === undefined || (said !== undefined && said.durable === taken.durable)
      ? undefined
      : this.attestation(last)
  }

  /** Its place among those who keep shards; −1 where it keeps none. */
  get #slot(): number {
    return this.#slotIn(this.#mandate.roster)
  }

  #slotIn({ voters }: Roster): number {
    const slot = voters.indexOf(this.#options.replica)
    return slot < this.#shards ? slot : -1
  }

  hear(attestation: Attestation): Heard {
    if (attestation.epoch !== this.#mandate.roster.epoch) return {}
    const before = this.durable
    this.#stability.hear(attestation)
    const { durable } = this.#stability
    const compared = this.compare()
    if (compared.diverged !== undefined || durable === undefined || durable.seq <= before) return compared
    for (const seq of this.#taken.keys()) if (seq < durable.seq) this.#taken.delete(seq)
    return { ...compared, truncatable: durable.seq }
  }

  /** What f+1 replicas attest, beside what this one has: it may have completed it before they said so, or after. */
  compare(): Heard {
    const { stable } = this.#stability
    const own = stable && this.#taken.get(stable.seq)
    if (stable !== undefined && own !== undefined && own.state !== stable.state)
      return {
        diverged: `the state here after entry ${stable.seq} is ${own.state.slice(0, 12)}, and f+1 replicas attest ${stable.state.slice(0, 12)}`,
      }
    const confirmed = own !== undefined && !own.isReplayed
    return { confirmed }
  }
}

const NONE: ReadonlyArray<never> = []
