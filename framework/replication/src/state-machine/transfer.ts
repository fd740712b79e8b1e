import {
  bucketDigest,
  BUCKETS,
  type Digest,
  digest,
  type Entry,
  Malformed,
  type ReplicaId,
  type Roster,
  rootOf,
} from "@lockstep/core"
import { decodeBucket } from "../bucket.ts"
import type { StagedBucket, StagedCheckpoint, TransferAnswer } from "../checkpoint.ts"
import type { ReplicaOutput } from "../mode.ts"
import { Certificates } from "./certificates.ts"
import type { Build } from "./build.ts"
import { decodeHeader } from "./checkpoint.ts"
import type { Holding } from "./checkpoints.ts"
import { Holder } from "./holder.ts"
import { Shards } from "./shards.ts"

/** Buckets in one request, at most: an answer has a bound of its own. */
const BUCKETS_AT_ONCE = 512
/** Peers whose answers lead to nothing for so many ticks are given up. */
const IDLE_TICKS = 4

/** What is to be asked of whom. */
export type Asked = ReplicaOutput & { readonly _tag: "Request" }

/** A checkpoint that f+1 replicas attest, and those who send it. */
interface Source {
  readonly seq: number
  readonly header: Uint8Array
  /** By index; those that are empty are left out. */
  readonly buckets: ReadonlyMap<number, Digest>
  readonly holders: Map<ReplicaId, Holder>
  /** Buckets that are not there yet, and what holders keep of them. */
  readonly missing: Map<number, Map<ReplicaId, Uint8Array>>
  /** Ticks in which no bucket became whole. */
  idleTicks: number
}

/**
 * Fetches a checkpoint from peers, because the log no longer reaches back to where this replica is. The certificate comes from the
 * log. Everything else may come from anybody: the header has the attested digest or it is worthless, the buckets have the digests of
 * the header, the rows those of their bucket. Of whole copies one peer is asked, and given up for the next when it sends something
 * else; of shards all are asked, and wrong ones are found out by trying.
 */
export class Transfer {
  readonly #replica: ReplicaId
  readonly #shards: Shards | undefined
  readonly #certificates: Certificates
  readonly #build: Build
  /** The position of a checkpoint that another build must begin with. */
  #refused = -1
  #peer = 0
  #source: Source | undefined
  /** Digests of buckets that were checked, and are kept: another checkpoint may have the same. */
  readonly #staged: Set<Digest>

  constructor(options: {
    readonly from: number
    readonly replica: ReplicaId
    readonly roster: Roster
    readonly holding: Holding
    readonly build: Build
    /** What an earlier attempt has kept. */
    readonly staged: Iterable<Digest>
  }) {
    const { from, roster, holding } = options
    this.#replica = options.replica
    this.#build = options.build
    this.#shards = holding.coding && new Shards(holding.coding)
    this.#certificates = new Certificates({ from, roster, quorum: holding })
    this.#staged = new Set(options.staged)
  }

  /** Where to read the log from. */
  get from(): number {
    return this.#certificates.from
  }

  /** The log, once more: it is read from its beginning. */
  attached(from: number, roster: Roster, since: number | undefined): void {
    this.#certificates.attached(from, roster, since)
  }

  /** A tick: whether the roster is to be read again, from where operators write it down. */
  needsRoster(): boolean {
    return this.#certificates.needsRoster()
  }

  read(entries: ReadonlyArray<Entry>): void {
    this.#certificates.read(entries)
  }

  /** What to ask whom now. */
  tick(): ReadonlyArray<Asked> {
    const source = this.#source
    if (source !== undefined && ++source.idleTicks <= IDLE_TICKS)
      return [...source.holders].flatMap(([peer, holder]) =>
        holder.tick() ? this.#askFor(source, peer) : [],
      )
    this.#source = undefined
    this.#peer++
    return this.#askForManifest()
  }

  /** What to keep, and what to ask next. */
  answered(
    from: ReplicaId,
    answer: TransferAnswer,
  ): { readonly staged?: StagedBucket; readonly asks: ReadonlyArray<Asked> } {
    if (answer._tag === "Manifest") return { asks: this.#takeManifest(from, answer) }
    const source = this.#source
    const holder = source?.holders.get(from)
    if (source === undefined || holder === undefined || source.seq !== answer.seq) return NOTHING
    switch (answer._tag) {
      case "Piece":
        return this.#takePiece(source, from, answer)
      case "Paused":
        return { asks: holder.paused() ? this.#askFor(source, from) : [] }
      case "Gone":
        source.holders.delete(from)
        return source.holders.size < (this.#shards?.needed ?? 1) ? { asks: this.#giveUp() } : NOTHING
    }
  }

  /** The checkpoint, once all of it is here. */
  get complete(): StagedCheckpoint | undefined {
    const source = this.#source
    if (source === undefined || source.missing.size > 0) return undefined
    const { seq, header, buckets } = source
    return { seq, header, buckets }
  }

  #takeManifest(from: ReplicaId, answer: TransferAnswer & { _tag: "Manifest" }): ReadonlyArray<Asked> {
    const state = digest(answer.header)
    const certificate = this.#certificates.all.find((known) => known.state === state)
    if (this.#source !== undefined || certificate === undefined) return []
    if (answer.buckets.length !== BUCKETS) return []
    const header = decodeHeader(answer.header)
    if (rootOf(answer.buckets) !== header.root) return []
    if (!this.#build.fits(header) && !this.#build.endsWith(header)) {
      this.#refused = header.seq
      this.#build.refused(header)
      return []
    }
    const buckets = new Map([...answer.buckets.entries()].filter(([, bucket]) => bucket !== EMPTY_BUCKET))
    const missing = [...buckets].filter(([, bucket]) => !this.#staged.has(bucket))
    const holders = this.#shards === undefined ? [from] : this.#certificates.holders
    this.#source = {
      seq: certificate.seq,
      header: answer.header,
      buckets,
      holders: new Map(holders.map((holder) => [holder, new Holder()])),
      missing: new Map(missing.map(([index]) => [index, new Map()])),
      idleTicks: 0,
    }
    const source = this.#source
    return holders.flatMap((holder) => this.#askFor(source, holder))
  }

  #takePiece(
    source: Source,
    from: ReplicaId,
    piece: TransferAnswer & { _tag: "Piece" },
  ): { readonly staged?: StagedBucket; readonly asks: ReadonlyArray<Asked> } {
    const wanted = source.buckets.get(piece.index)
    const kept = source.missing.get(piece.index)
    const bytes = kept && source.holders.get(from)?.add(piece)
    if (wanted === undefined || kept === undefined || bytes === undefined) return NOTHING
    kept.set(from, bytes)
    const rows = this.#rowsOf(piece.index, wanted, [...kept.values()])
    if (rows === undefined) {
      if (this.#shards !== undefined) return NOTHING // others may have better ones
      return { asks: this.#giveUp() } // a liar: somebody else has the same checkpoint
    }
    this.#staged.add(wanted)
    source.missing.delete(piece.index)
    source.idleTicks = 0
    return { staged: { digest: wanted, rows }, asks: [] }
  }

  /** The rows of a bucket, if they are those that it should have. */
  #rowsOf(
    index: number,
    wanted: Digest,
    kept: ReadonlyArray<Uint8Array>,
  ): ReadonlyMap<string, Uint8Array> | undefined {
    if (this.#shards !== undefined) return this.#shards.restoreBucket(index, wanted, kept)
    try {
      const rows = decodeBucket(kept[0] ?? new Uint8Array(), index)
      return bucketDigest(rows) === wanted ? rows : undefined
    } catch (cause) {
      if (cause instanceof Malformed) return undefined
      throw cause
    }
  }

  /** Another peer is asked from here on. What was checked stays. */
  #giveUp(): ReadonlyArray<Asked> {
    this.#source = undefined
    this.#peer++
    return this.#askForManifest()
  }

  #askForManifest(): ReadonlyArray<Asked> {
    const { holders, all } = this.#certificates
    const peers = holders.filter((peer) => peer !== this.#replica)
    const wanted = all.filter(({ seq }) => seq !== this.#refused)
    if (peers.length === 0 || wanted.length === 0) return []
    // all peers are asked for one checkpoint, then all of them for the other
    const to = peers[this.#peer % peers.length]
    const certificate = wanted[Math.floor(this.#peer / peers.length) % wanted.length]
    if (to === undefined || certificate === undefined) return []
    return [{ _tag: "Request", to, request: { _tag: "Manifest", seq: certificate.seq } }]
  }

  #askFor(source: Source, peer: ReplicaId): ReadonlyArray<Asked> {
    const holder = source.holders.get(peer)
    if (holder === undefined) return []
    const missing = [...source.missing].filter(([, kept]) => !kept.has(peer)).slice(0, BUCKETS_AT_ONCE)
    if (missing.length === 0) return []
    holder.asked()
    const wanted = missing.map(([index]) => holder.wanted(index))
    return [{ _tag: "Request", to: peer, request: { _tag: "Pieces", seq: source.seq, wanted } }]
  }
}

const NOTHING = { asks: [] }
const EMPTY_BUCKET = bucketDigest(new Map())
