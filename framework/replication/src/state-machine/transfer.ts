import {
  type Attestation,
  bucketDigest,
  BUCKETS,
  decodeEnvelope,
  type Digest,
  digest,
  type Entry,
  Malformed,
  objectionTo,
  type ReplicaId,
  type Roster,
  rootOf,
} from "@lockstep/core"
import { decodeBucket } from "../bucket.ts"
import type {
  StagedBucket,
  StagedCheckpoint,
  TransferAnswer,
  TransferRequest,
  Wanted,
} from "../checkpoint.ts"
import { decodeHeader } from "./checkpoint.ts"
import { Parts } from "./parts.ts"
import { type Quorum, Stability, type StableCheckpoint } from "./stability.ts"

/** Buckets in one request, at most. */
const BUCKETS_AT_ONCE = 64
/** A peer that is silent for so many ticks is asked again: the last answer may have been lost. */
const ASK_AGAIN_TICKS = 2
/** A peer whose answers lead to nothing for so many ticks is given up. */
const IDLE_TICKS = 4
/** After so many ticks in which voters of an epoch spoke that is not known here, the roster is read again. */
const ROSTER_TICKS = 8

/** What is to be asked of whom. */
export interface Asked {
  readonly to: ReplicaId
  readonly request: TransferRequest
}

/** A checkpoint that a peer has, and that f+1 replicas attest. */
interface Source {
  readonly peer: ReplicaId
  readonly seq: number
  readonly header: Uint8Array
  /** By index; those that are empty are left out. */
  readonly buckets: ReadonlyMap<number, Digest>
  /** How many buckets are not there yet. */
  left: number
  /** Parts of buckets that are not whole yet. */
  readonly parts: Map<number, Parts>
  /** Ticks in which nothing came of it. */
  idleTicks: number
  /** Something came since it was asked last. */
  hasMore: boolean
}

/**
 * Fetches a checkpoint from peers, because the log no longer reaches back to where this replica is. The certificate comes from the
 * log: f+1 attestations. Everything else may come from anybody: the header has the attested digest or it is worthless, the buckets
 * have the digests of the header, the rows those of their bucket. A peer that sends something else is given up for the next one.
 */
export class Transfer {
  /** Where to read the log from: attestations are in what is left of it. */
  from: number
  readonly #replica: ReplicaId
  readonly #quorum: Quorum
  readonly #stability: Stability
  #roster: Roster
  /** Somebody attested in a later epoch than is known here. */
  #isOutdated = false
  #outdatedTicks = 0
  #peer = 0
  #source: Source | undefined
  /** Digests of buckets that were checked, and are kept: another checkpoint may have the same. */
  readonly #staged: Set<Digest>

  constructor(options: {
    readonly from: number
    readonly replica: ReplicaId
    /** Whose attestations count, as far as is known. */
    readonly roster: Roster
    readonly quorum: Quorum
    /** What an earlier attempt has kept. */
    readonly staged: Iterable<Digest>
  }) {
    this.from = options.from
    this.#replica = options.replica
    this.#quorum = options.quorum
    this.#roster = options.roster
    this.#stability = new Stability(options.quorum, options.roster.voters)
    this.#staged = new Set(options.staged)
  }

  /**
   * The log, once more: it is read from its beginning. Rosters of the past may be missing in it, so the current one is taken from
   * where operators write it down.
   */
  attached(from: number, roster: Roster): void {
    this.from = from
    if (roster.epoch > this.#roster.epoch) this.#adopt(roster)
  }

  /** What the log states cannot be judged without a roster that it no longer holds. */
  get needsRoster(): boolean {
    return this.#isOutdated && ++this.#outdatedTicks % ROSTER_TICKS === 0
  }

  /** Entries of the log, which are not executed: only what replicas attest is heard, and who may. */
  read(entries: ReadonlyArray<Entry>): void {
    for (const entry of entries) {
      try {
        const envelope = decodeEnvelope(entry.payload)
        if (envelope._tag === "Reconfiguration") this.#follow(envelope.roster, entry.source)
        else if (envelope._tag === "Attestation" && entry.source === `replica.${envelope.replica}`)
          this.#hear(envelope)
      } catch (cause) {
        if (!(cause instanceof Malformed)) throw cause
      }
    }
  }

  /** What to ask whom now. */
  tick(): Asked | undefined {
    const source = this.#source
    if (source === undefined) this.#peer++
    else if (++source.idleTicks > IDLE_TICKS) this.#giveUp()
    else if (source.idleTicks < ASK_AGAIN_TICKS) return undefined // pieces are on their way
    return this.#ask()
  }

  /** What to keep, and what to ask next. */
  answered(
    from: ReplicaId,
    answer: TransferAnswer,
  ): { readonly staged?: StagedBucket; readonly ask?: Asked } {
    switch (answer._tag) {
      case "Manifest":
        return this.#source === undefined && this.#takeManifest(from, answer) ? this.#asking() : {}
      case "Piece":
        return this.#takePiece(from, answer)
      case "Paused":
        // one that sends nothing must not be asked as fast as it answers
        return this.#source?.peer === from && this.#source.seq === answer.seq && this.#source.hasMore
          ? this.#asking()
          : {}
      case "Gone":
        if (this.#source?.peer === from && this.#source.seq === answer.seq) this.#giveUp()
        return {}
    }
  }

  /** The checkpoint, once all of it is here. */
  get complete(): StagedCheckpoint | undefined {
    const source = this.#source
    if (source === undefined || source.left > 0) return undefined
    const { seq, header, buckets } = source
    return { seq, header, buckets }
  }

  /** What f+1 replicas hold on their disks, or, while that is not in the log, what f+1 of them attest. */
  get #certificate(): StableCheckpoint | undefined {
    return this.#stability.durable ?? this.#stability.stable
  }

  #hear(attestation: Attestation): void {
    if (attestation.epoch > this.#roster.epoch) this.#isOutdated = true
    else if (attestation.epoch === this.#roster.epoch) this.#stability.hear(attestation)
  }

  #follow(next: Roster, source: string): void {
    const stated = { source, current: this.#roster, quorum: this.#quorum.votes }
    if (objectionTo(next, stated) === undefined) this.#adopt(next)
  }

  #adopt(roster: Roster): void {
    this.#roster = roster
    this.#isOutdated = false
    this.#stability.adopt(roster.voters)
  }

  /** Voters and standbys alike: what they send is checked. */
  get #peers(): ReadonlyArray<ReplicaId> {
    const { voters, standbys } = this.#roster
    return [...voters, ...standbys].filter((peer) => peer !== this.#replica)
  }

  #takeManifest(from: ReplicaId, answer: TransferAnswer & { _tag: "Manifest" }): boolean {
    const certificate = this.#certificate
    // the log must go on where the checkpoint ends
    if (certificate === undefined || certificate.seq + 1 < this.from) return false
    if (digest(answer.header) !== certificate.state || answer.buckets.length !== BUCKETS) return false
    if (rootOf(answer.buckets) !== decodeHeader(answer.header).root) return false
    const buckets = [...answer.buckets.entries()].filter(([, bucket]) => bucket !== EMPTY_BUCKET)
    this.#source = {
      peer: from,
      seq: certificate.seq,
      header: answer.header,
      buckets: new Map(buckets),
      left: buckets.filter(([, bucket]) => !this.#staged.has(bucket)).length,
      parts: new Map(),
      idleTicks: 0,
      hasMore: false,
    }
    return true
  }

  #takePiece(
    from: ReplicaId,
    piece: TransferAnswer & { _tag: "Piece" },
  ): { readonly staged?: StagedBucket; readonly ask?: Asked } {
    const source = this.#source
    const wanted = source?.buckets.get(piece.index)
    if (source === undefined || source.peer !== from || source.seq !== piece.seq) return {}
    if (wanted === undefined || this.#staged.has(wanted)) return {}
    let parts = source.parts.get(piece.index)
    if (parts?.count !== piece.parts) source.parts.set(piece.index, (parts = new Parts(piece.parts)))
    if (parts.add(piece.part, piece.bytes)) {
      source.idleTicks = 0
      source.hasMore = true
    }
    const bytes = parts.whole()
    if (bytes === undefined) return {}
    source.parts.delete(piece.index)
    const rows = rowsOf(bytes, piece.index)
    if (rows === undefined || bucketDigest(rows) !== wanted) {
      this.#giveUp() // a liar: somebody else has the same checkpoint
      return this.#asking()
    }
    this.#staged.add(wanted)
    source.left--
    return { staged: { digest: wanted, rows } }
  }

  #missing(source: Source): ReadonlyArray<Wanted> {
    return [...source.buckets]
      .filter(([, bucket]) => !this.#staged.has(bucket))
      .map(([index]) => ({ index, part: source.parts.get(index)?.firstMissing ?? 0 }))
  }

  /** Another peer is asked from here on. What was checked stays. */
  #giveUp(): void {
    this.#source = undefined
    this.#peer++
  }

  #asking(): { readonly ask?: Asked } {
    const ask = this.#ask()
    return ask === undefined ? {} : { ask }
  }

  #ask(): Asked | undefined {
    const source = this.#source
    if (source !== undefined) {
      const wanted = this.#missing(source).slice(0, BUCKETS_AT_ONCE)
      source.hasMore = false
      return wanted.length === 0
        ? undefined
        : { to: source.peer, request: { _tag: "Pieces", seq: source.seq, wanted } }
    }
    const peers = this.#peers
    const to = peers[this.#peer % Math.max(1, peers.length)]
    const certificate = this.#certificate
    if (to === undefined || certificate === undefined) return undefined
    return { to, request: { _tag: "Manifest", seq: certificate.seq } }
  }
}

function rowsOf(bytes: Uint8Array, index: number): ReadonlyMap<string, Uint8Array> | undefined {
  try {
    return decodeBucket(bytes, index)
  } catch (cause) {
    if (cause instanceof Malformed) return undefined
    throw cause
  }
}

const EMPTY_BUCKET = bucketDigest(new Map())
