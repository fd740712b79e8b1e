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
import { type Checkpoint, type CheckpointHeader, decodeHeader } from "./checkpoint.ts"
import { Stability } from "./stability.ts"

/** What a replica asks of a peer whose checkpoint it wants. */
export type TransferRequest =
  /** The header of its last checkpoint, and the digests of all buckets. */
  | { readonly _tag: "Manifest" }
  /** The rows of these buckets, of the checkpoint at `seq`. */
  | { readonly _tag: "Buckets"; readonly seq: number; readonly indexes: ReadonlyArray<number> }

/** What a peer answers. Nothing of it is believed before it is checked. */
export type TransferAnswer =
  | { readonly _tag: "Manifest"; readonly header: Uint8Array; readonly buckets: ReadonlyArray<Digest> }
  | {
      readonly _tag: "Bucket"
      readonly seq: number
      readonly index: number
      readonly rows: ReadonlyMap<string, Uint8Array>
    }
  /** The peer has no such checkpoint any more. */
  | { readonly _tag: "Gone"; readonly seq: number }

/** Buckets in one request, at most. */
const BUCKETS_AT_ONCE = 64
/** A peer whose answers lead to nothing for so many ticks is given up. */
const IDLE_TICKS = 4
/** After so many ticks in which voters of an epoch spoke that is not known here, the roster is read again. */
const ROSTER_TICKS = 8

interface Manifest {
  readonly from: ReplicaId
  readonly header: CheckpointHeader
  readonly bytes: Uint8Array
  readonly state: Digest
  readonly buckets: ReadonlyArray<Digest>
  /** f+1 replicas attest it in the log. */
  certified: boolean
  /** Ticks in which nothing came of it. */
  idleTicks: number
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
  readonly #quorum: number
  readonly #stability: Stability
  #roster: Roster
  /** Somebody attested in a later epoch than is known here. */
  #isOutdated = false
  #outdatedTicks = 0
  #peer = 0
  #manifest: Manifest | undefined
  /** Rows that were checked, by the digest of their bucket: another checkpoint may have the same. */
  readonly #buckets = new Map<Digest, ReadonlyMap<string, Uint8Array>>()

  constructor(options: {
    readonly from: number
    readonly replica: ReplicaId
    /** Whose attestations count, as far as is known. */
    readonly roster: Roster
    /** Equal attestations that make a certificate. */
    readonly quorum: number
  }) {
    this.from = options.from
    this.#replica = options.replica
    this.#quorum = options.quorum
    this.#roster = options.roster
    this.#stability = new Stability({ votes: options.quorum, holders: options.quorum }, options.roster.voters)
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
    if (this.#manifest === undefined || !this.#isCertified) this.#peer++
    else if (++this.#manifest.idleTicks > IDLE_TICKS) this.#giveUp()
    return this.#ask()
  }

  /** What to ask next; a whole checkpoint is there once `complete` says so. */
  answered(from: ReplicaId, answer: TransferAnswer): Asked | undefined {
    switch (answer._tag) {
      case "Manifest":
        return this.#takeManifest(from, answer) ? this.#ask() : undefined
      case "Bucket":
        return this.#takeBucket(from, answer)
      case "Gone":
        if (this.#manifest?.from === from && this.#manifest.header.seq === answer.seq) this.#giveUp()
        return undefined
    }
  }

  /** The checkpoint, once all of it is here and certified. */
  get complete(): Checkpoint | undefined {
    if (!this.#isCertified || this.#missing.length > 0 || this.#manifest === undefined) return undefined
    const rows = new Map<string, Uint8Array>()
    for (const bucket of this.#manifest.buckets)
      for (const [id, bytes] of this.#buckets.get(bucket) ?? []) rows.set(id, bytes)
    return { header: this.#manifest.bytes, rows }
  }

  get #isCertified(): boolean {
    const manifest = this.#manifest
    if (manifest === undefined) return false
    manifest.certified ||= this.#stability.certified(manifest.header.seq)?.state === manifest.state
    return manifest.certified
  }

  get #missing(): ReadonlyArray<number> {
    const buckets = this.#manifest?.buckets ?? []
    return buckets.flatMap((bucket, index) =>
      bucket === EMPTY_BUCKET || this.#buckets.has(bucket) ? [] : [index],
    )
  }

  #hear(attestation: Attestation): void {
    if (attestation.epoch > this.#roster.epoch) this.#isOutdated = true
    else if (attestation.epoch === this.#roster.epoch) this.#stability.hear(attestation)
  }

  #follow(next: Roster, source: string): void {
    const stated = { source, current: this.#roster, quorum: this.#quorum }
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
    if (this.#isCertified || !this.#peers.includes(from)) return false
    try {
      const header = decodeHeader(answer.header)
      if (answer.buckets.length !== BUCKETS || rootOf(answer.buckets) !== header.root) return false
      this.#manifest = {
        from,
        header,
        bytes: answer.header,
        state: digest(answer.header),
        buckets: answer.buckets,
        certified: false,
        idleTicks: 0,
      }
      return this.#isCertified
    } catch (cause) {
      if (cause instanceof Malformed) return false
      throw cause
    }
  }

  #takeBucket(from: ReplicaId, answer: TransferAnswer & { _tag: "Bucket" }): Asked | undefined {
    const manifest = this.#manifest
    if (manifest === undefined || manifest.from !== from || manifest.header.seq !== answer.seq)
      return undefined
    const bucket = bucketDigest(answer.rows)
    if (bucket !== manifest.buckets[answer.index]) {
      this.#giveUp() // a liar: somebody else has the same checkpoint, or a newer one
      return this.#ask()
    }
    manifest.idleTicks = 0
    this.#buckets.set(bucket, answer.rows)
    return this.#buckets.size % BUCKETS_AT_ONCE === 0 ? this.#ask() : undefined
  }

  /** Another peer is asked from here on. What was checked stays. */
  #giveUp(): void {
    this.#manifest = undefined
    this.#peer++
  }

  #ask(): Asked | undefined {
    const manifest = this.#manifest
    if (manifest !== undefined && this.#isCertified) {
      const indexes = this.#missing.slice(0, BUCKETS_AT_ONCE)
      const { seq } = manifest.header
      return indexes.length === 0
        ? undefined
        : { to: manifest.from, request: { _tag: "Buckets", seq, indexes } }
    }
    // a manifest that is not certified yet may be followed by another one
    const peers = this.#peers
    const to = peers[this.#peer % Math.max(1, peers.length)]
    return to && { to, request: { _tag: "Manifest" } }
  }
}

/** What is to be asked of whom. */
export interface Asked {
  readonly to: ReplicaId
  readonly request: TransferRequest
}

const EMPTY_BUCKET = bucketDigest(new Map())
