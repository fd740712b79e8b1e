import { bucketDigest, BUCKETS, type Digest, Malformed, type ReplicaId, rootOf } from "@lockstep/core"
import { decodeBucket } from "../bucket.ts"
import type { StagedBucket, StagedCheckpoint, TransferAnswer } from "../checkpoint.ts"
import type { ReplicaOutput } from "../mode.ts"
import { Parts } from "../parts.ts"
import { decodeSnapshot } from "./snapshot.ts"

const BUCKETS_AT_ONCE = 512
/** A fetch that leads to nothing for so long is given up, milliseconds: the primary may have taken another checkpoint since. */
const IDLE_MS = 1000

type Request = ReplicaOutput & { readonly _tag: "Request" }

/** Fetches a checkpoint of the primary, whose later records follow it. It is checked, because disks and networks damage things. */
export class Fetch {
  readonly from: ReplicaId
  readonly #seq: number
  readonly #staged: Set<Digest>
  #header: Uint8Array | undefined
  #buckets = new Map<number, Digest>()
  readonly #missing = new Map<number, Parts | undefined>()
  #movedAtMs: number

  constructor(
    from: ReplicaId,
    options: { readonly seq: number; readonly staged: Iterable<Digest>; readonly nowMs: number },
  ) {
    this.from = from
    this.#seq = options.seq
    this.#staged = new Set(options.staged)
    this.#movedAtMs = options.nowMs
  }

  begin(): Request {
    return { _tag: "Request", to: this.from, request: { _tag: "Manifest", seq: this.#seq } }
  }

  isIdle(nowMs: number): boolean {
    return nowMs - this.#movedAtMs > IDLE_MS
  }

  /** What to keep, and what to ask next. `"gone"`: the primary does not have it any more. */
  answered(answer: TransferAnswer, nowMs: number): ReadonlyArray<ReplicaOutput> | "gone" {
    try {
      if (answer._tag === "Manifest") return this.#takeManifest(answer, nowMs)
      if (answer.seq !== this.#seq) return []
      if (answer._tag === "Gone") return "gone"
      if (answer._tag === "Paused") return this.#ask()
      return this.#takePiece(answer, nowMs)
    } catch (cause) {
      if (cause instanceof Malformed) return "gone" // another attempt reads another checkpoint
      throw cause
    }
  }

  /** The checkpoint, once all of it is here. */
  get complete(): StagedCheckpoint | undefined {
    if (this.#header === undefined || this.#missing.size > 0) return undefined
    return { seq: this.#seq, header: this.#header, buckets: this.#buckets }
  }

  #takeManifest(
    { header, buckets }: TransferAnswer & { _tag: "Manifest" },
    nowMs: number,
  ): ReadonlyArray<ReplicaOutput> {
    const { position, root } = decodeSnapshot(header)
    if (this.#header !== undefined || position !== this.#seq) return []
    if (buckets.length !== BUCKETS || rootOf(buckets) !== root)
      throw new Malformed("the buckets of a checkpoint are not those of its header")
    this.#header = header
    this.#buckets = new Map([...buckets.entries()].filter(([, bucket]) => bucket !== EMPTY_BUCKET))
    for (const [index, bucket] of this.#buckets)
      if (!this.#staged.has(bucket)) this.#missing.set(index, undefined)
    this.#movedAtMs = nowMs
    return this.#ask()
  }

  #takePiece(piece: TransferAnswer & { _tag: "Piece" }, nowMs: number): ReadonlyArray<ReplicaOutput> {
    const { index } = piece
    const wanted = this.#buckets.get(index)
    if (wanted === undefined || !this.#missing.has(index)) return []
    const parts = this.#missing.get(index) ?? new Parts(piece.parts)
    this.#missing.set(index, parts)
    if (parts.add(piece.part, piece.bytes)) this.#movedAtMs = nowMs
    const bytes = parts.whole()
    if (bytes === undefined) return []
    const rows = decodeBucket(bytes, index)
    if (bucketDigest(rows) !== wanted) throw new Malformed("a bucket of a checkpoint is damaged")
    this.#missing.delete(index)
    const bucket: StagedBucket = { digest: wanted, rows }
    return [{ _tag: "Stage", bucket }]
  }

  #ask(): ReadonlyArray<ReplicaOutput> {
    const wanted = [...this.#missing]
      .slice(0, BUCKETS_AT_ONCE)
      .map(([index, parts]) => ({ index, part: parts?.firstMissing ?? 0 }))
    if (wanted.length === 0) return []
    return [{ _tag: "Request", to: this.from, request: { _tag: "Pieces", seq: this.#seq, wanted } }]
  }
}

const EMPTY_BUCKET = bucketDigest(new Map())
