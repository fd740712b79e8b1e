import type { Digest } from "@lockstep/core"
import { encodeBucket } from "./bucket.ts"
import type { TransferAnswer, TransferRequest } from "./checkpoint.ts"

// What a peer reads out of a checkpoint on its disk: the one side of a state transfer, which decides nothing.

/** Bytes of one piece, at most: the log's servers take messages of up to a megabyte. */
export const PIECE_BYTES_MAX = 256 * 1024
/** Bytes of one answer, about: a peer that asks must not be flooded. */
export const ANSWER_BYTES_MAX = 4 * 1024 * 1024

/** Checkpoints that can be read out. */
export interface Library {
  /** The checkpoint at this position, if it is still there. */
  manifest(seq: number): { readonly header: Uint8Array; readonly buckets: ReadonlyArray<Digest> } | undefined
  /** The rows of one of its buckets. */
  bucket(seq: number, index: number): ReadonlyMap<string, Uint8Array>
}

/** What to answer to a peer. */
export function* answersTo(library: Library, request: TransferRequest): Generator<TransferAnswer> {
  const { seq } = request
  const manifest = library.manifest(seq)
  if (manifest === undefined) return yield { _tag: "Gone", seq }
  if (request._tag === "Manifest") return yield { _tag: "Manifest", ...manifest }
  let sent = 0
  for (const { index, part: first } of request.wanted) {
    const bytes = encodeBucket(library.bucket(seq, index))
    const parts = Math.max(1, Math.ceil(bytes.length / PIECE_BYTES_MAX))
    for (let part = first; part < parts && sent < ANSWER_BYTES_MAX; part++) {
      const piece = bytes.subarray(part * PIECE_BYTES_MAX, (part + 1) * PIECE_BYTES_MAX)
      sent += piece.length
      yield { _tag: "Piece", seq, index, part, parts, bytes: piece }
    }
    if (sent >= ANSWER_BYTES_MAX) break
  }
  yield { _tag: "Paused", seq }
}
