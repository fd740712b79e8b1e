import type { Digest } from "@lockstep/core"

/**
 * A checkpoint is due after so many commands, too: what they changed stays in memory until it is taken. A part of the replicated
 * state, like the number of batches.
 */
export const CHECKPOINT_COMMANDS_MAX = 250_000
/** Rows of a checkpoint that are taken at a time, before anything else can be done: about a millisecond. */
export const CHECKPOINT_ROWS = 128
/** The same of digests of buckets, which are as large as there are actors. */
export const BUCKETS_AT_A_TIME = 64
/** Bytes of actors that stay in memory although the disk holds them, where nobody says otherwise. */
export const ACTOR_BYTES_MAX = 256 * 1024 * 1024

/** A whole checkpoint, as it was kept: its header, and its rows by id, in any order. */
export interface Checkpoint {
  readonly header: Uint8Array
  readonly rows: Iterable<readonly [id: string, bytes: Uint8Array]>
}

/** What a checkpoint changes in the one before it. A row without bytes is gone. */
export interface CheckpointChanges {
  readonly seq: number
  readonly header: Uint8Array
  /** Of the header, and so of everything. */
  readonly state: Digest
  readonly rows: ReadonlyMap<string, Uint8Array | undefined>
  /** The digests of the buckets that these rows belong to. */
  readonly buckets: ReadonlyMap<number, Digest>
}

/**
 * The rows of the last checkpoint on this replica's own disk, so that not all of them have to be in memory. Reading is synchronous
 * and decides nothing: a row has the digest that the checkpoint gave it, or the protocol does not take it.
 */
export interface Shelf {
  read(id: string): Uint8Array | undefined
  rows(): Iterable<readonly [id: string, bytes: Uint8Array]>
}

/** What a replica asks of a peer whose checkpoint it wants. */
export type TransferRequest =
  /** The header of the checkpoint at `seq`, and the digests of all its buckets. */
  | { readonly _tag: "Manifest"; readonly seq: number }
  /** The rows of these buckets, from these parts on: as many as fit into one answer. */
  | { readonly _tag: "Pieces"; readonly seq: number; readonly wanted: ReadonlyArray<Wanted> }

/** A bucket, as far as it is not there yet. */
export interface Wanted {
  readonly index: number
  readonly part: number
}

/** What a peer answers. Nothing of it is believed before it is checked. */
export type TransferAnswer =
  | {
      readonly _tag: "Manifest"
      readonly header: Uint8Array
      readonly buckets: ReadonlyArray<Digest>
    }
  /** One part of the bytes of a bucket. */
  | {
      readonly _tag: "Piece"
      readonly seq: number
      readonly index: number
      readonly part: number
      readonly parts: number
      readonly bytes: Uint8Array
    }
  /** No more pieces follow before others are asked for. */
  | { readonly _tag: "Paused"; readonly seq: number }
  /** The peer has no such checkpoint, or has it no more. */
  | { readonly _tag: "Gone"; readonly seq: number }

/** The rows of one bucket, which were checked, to be kept until the whole checkpoint is there. */
export interface StagedBucket {
  readonly digest: Digest
  readonly rows: ReadonlyMap<string, Uint8Array>
}

/** A checkpoint whose buckets are all staged. */
export interface StagedCheckpoint {
  readonly seq: number
  readonly header: Uint8Array
  /** By index; those that are empty are left out. */
  readonly buckets: ReadonlyMap<number, Digest>
}
