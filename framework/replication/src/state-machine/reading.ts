import { bucketDigest, BUCKETS, bucketOf } from "@lockstep/core"
import type { Checkpoint } from "./checkpoint.ts"
import { decodeHeader } from "./checkpoint.ts"
import type { TransferAnswer, TransferRequest } from "./transfer.ts"

// What a peer reads out of a checkpoint on its disk: the one side of a state transfer, which decides nothing.

/** The header of a checkpoint, and the digests of all its buckets. */
export function manifestOf(checkpoint: Checkpoint): TransferAnswer & { _tag: "Manifest" } {
  const rows = Map.groupBy(checkpoint.rows, ([id]) => bucketOf(id))
  const buckets = Array.from({ length: BUCKETS }, (_, index) => bucketDigest(new Map(rows.get(index) ?? [])))
  return { _tag: "Manifest", header: checkpoint.header, buckets }
}

/** The rows of the buckets that are asked for. */
export function bucketsOf(
  checkpoint: Checkpoint,
  request: TransferRequest & { _tag: "Buckets" },
): ReadonlyArray<TransferAnswer & { _tag: "Bucket" }> {
  const { seq } = decodeHeader(checkpoint.header)
  const wanted = new Set(request.indexes)
  const rows = Map.groupBy(checkpoint.rows, ([id]) => bucketOf(id))
  return [...wanted].map((index) => ({ _tag: "Bucket", seq, index, rows: new Map(rows.get(index) ?? []) }))
}
