import { type ActorClass, defineAll } from "@lockstep/actor"
import {
  BatchWriter,
  bucketDigest,
  BUCKETS,
  ClientId,
  decodeEnvelope,
  decodeOutcomes,
  decodeStatement,
  decodeVote,
  type Digest,
  encodeShared,
  encodeAsk,
  encodeOpening,
  encodeUpgrade,
  type Entry,
  genesisRoster,
  GroupName,
  OPERATOR,
  Partition,
  ReplicaId,
  SessionId,
} from "@lockstep/core"
import {
  answersTo,
  type CheckpointChanges,
  decodeHeader,
  type HaltReport,
  type Library,
  placeOf,
  type ReplicaInput,
  type ReplicaOptions,
  type ReplicaOutput,
  type ReplicaProtocol,
  type ReplicationMode,
  Stage,
  type StagedCheckpoint,
  type TransferRequest,
} from "@lockstep/replication"

const CLIENT = ClientId("client")
/** Time enough for a request that led to nothing to be made again. */
const TICKS = 12

/** What a replica's vote says. */
export interface Said {
  readonly replica: ReplicaId
  readonly number: number
  readonly value: unknown
}

/**
 * Replicas that keep checkpoints, and what their builds execute: one partition in memory, in which entries are read, and checkpoints
 * reach the disk, when the test says so. The protocols in it are the ones that production runs.
 */
export class Fleet {
  readonly log: Array<Entry> = []
  readonly members: ReadonlyArray<Member>
  /** All votes that anybody ever cast. */
  readonly said: Array<Said> = []
  readonly commands: Array<{
    readonly seq: number
    readonly number: number
    readonly args: ReadonlyArray<unknown>
  }> = []
  readonly session: SessionId
  readonly mode: ReplicationMode
  /** Where the log begins by now, for whoever attaches to it. */
  firstSeq = 1
  #number = 0

  constructor(mode: ReplicationMode, actorClass: ActorClass, how?: { readonly checkpoints: "none" }) {
    this.mode = mode
    const names = Array.from({ length: mode.replicas }, (_, i) => ReplicaId(`r${i}`))
    const options = { group: GroupName("group"), partition: Partition(0), roster: genesisRoster(names) }
    this.session = SessionId(this.put(encodeOpening({ client: CLIENT, number: 0 }), `client.${CLIENT}`))
    this.members = names.map(
      (replica) =>
        new Member(
          this,
          { ...options, logId: "log", replica, ...(how === undefined && { checkpointEveryBatches: 3 }) },
          actorClass,
        ),
    )
  }

  member(index: number): Member {
    const member = this.members[index]
    if (member === undefined) throw new Error(`no replica ${index}`)
    return member
  }

  /** Bytes in the log, and their position. */
  put(payload: Uint8Array, source: string): number {
    const seq = this.log.length + 1
    this.log.push({ seq, timeNs: BigInt(seq) * 1_000_000n, source, payload })
    return seq
  }

  /** A client's batch of one command: its number. */
  command(type: string, member: string, ...args: ReadonlyArray<unknown>): number {
    const writer = new BatchWriter()
    const number = ++this.#number
    writer.add(type, member, "key", encodeShared(args), undefined)
    const batch = writer.seal({ client: CLIENT, session: this.session, number, settledBelow: 0 })
    this.commands.push({ seq: this.put(batch, `client.${CLIENT}`), number, args })
    return number
  }

  state(number: number, versions: Readonly<Record<string, number>>, source = OPERATOR): number {
    return this.put(encodeUpgrade({ number, versions: new Map(Object.entries(versions)) }), source)
  }

  /** How many replicas attest in the log that their disks hold a checkpoint at this position. */
  holders(seq: number): number {
    const holders = new Set<string>()
    for (const { payload, source } of this.log) {
      const envelope = decodeEnvelope(payload)
      if (envelope._tag === "Attestation" && envelope.seq === seq && envelope.durable) holders.add(source)
    }
    return holders.size
  }

  /** Everything moves until nothing is left to move. */
  settle(members = this.members): void {
    for (let round = 0; round < TICKS; round++)
      for (const member of members) {
        member.read()
        member.sync()
        member.tick()
      }
  }

  /** What these votes said of a batch. */
  answers(number: number): ReadonlyArray<string> {
    return this.said
      .filter((said) => said.number === number)
      .map(({ replica, value }) => `${replica}: ${String(value)}`)
  }
}

interface Kept {
  readonly seq: number
  readonly header: Uint8Array
  readonly rows: ReadonlyMap<string, Uint8Array>
  readonly buckets: ReadonlyMap<number, Digest>
}

/** One replica with a disk, and the build that it starts with next. */
export class Member implements Library {
  readonly replica: ReplicaId
  protocol: ReplicaProtocol
  readonly halts: Array<HaltReport> = []
  readonly waits: Array<string> = []
  /** What is on its disk, by position. */
  kept: ReadonlyArray<Kept> = []
  readonly #fleet: Fleet
  readonly #options: Omit<ReplicaOptions, "definitions" | "determinism">
  #definitions
  #stage = new Stage()
  #unsynced: Array<CheckpointChanges> = []
  /** How many entries it has been given. */
  #read = 0
  #nowMs = 0

  constructor(
    fleet: Fleet,
    options: Omit<ReplicaOptions, "definitions" | "determinism">,
    actorClass: ActorClass,
  ) {
    this.#fleet = fleet
    this.#options = options
    this.replica = options.replica
    this.#definitions = defineAll([actorClass])
    this.protocol = this.#make({})
    this.#attach()
  }

  /** The process dies: what was not synced is gone. It starts again, perhaps with another build. */
  restart(actorClass?: ActorClass): void {
    if (actorClass !== undefined) this.#definitions = defineAll([actorClass])
    this.#unsynced = []
    const newest = this.kept.at(-1)
    const isWhole = this.#fleet.mode.storage === "copies"
    this.protocol = this.#make(newest && (isWhole ? { restore: newest } : { shardOf: newest.header }))
    this.#attach()
  }

  /** The disk is lost as well. */
  lose(): void {
    this.kept = []
    this.#stage = new Stage()
  }

  read(entriesMax = Number.POSITIVE_INFINITY): void {
    const entries = this.#fleet.log.slice(this.#read, this.#read + entriesMax)
    this.#read += entries.length
    if (entries.length > 0) this.#step({ _tag: "Entries", entries })
  }

  /** What was to be kept is on the disk. */
  sync(): void {
    for (const changes of this.#unsynced.splice(0)) {
      const rows = new Map(this.kept.at(-1)?.rows)
      for (const [id, bytes] of changes.rows) {
        if (bytes === undefined) rows.delete(id)
        else rows.set(id, bytes)
      }
      const { seq, header } = changes
      const buckets = new Map([...(this.kept.at(-1)?.buckets ?? []), ...changes.buckets])
      this.kept = [...this.kept.filter((other) => other.seq < seq), { seq, header, rows, buckets }]
      this.#step({ _tag: "Persisted", seq })
    }
  }

  /** The disk is full: what was to be kept is not. */
  forget(): void {
    this.#unsynced = []
  }

  tick(): void {
    this.#step({ _tag: "Tick", nowMs: (this.#nowMs += 500) })
  }

  /** The client asks for a vote on a batch once more. */
  ask(number: number): void {
    const { session } = this.#fleet
    this.#step({ _tag: "Message", bytes: encodeAsk({ client: CLIENT, session, number }) })
  }

  manifest(
    seq: number,
  ): { readonly header: Uint8Array; readonly buckets: ReadonlyArray<Digest> } | undefined {
    const kept = this.kept.find((other) => other.seq === seq)
    if (kept === undefined) return undefined
    const digests = Array.from({ length: BUCKETS }, (_, index) => kept.buckets.get(index) ?? EMPTY_BUCKET)
    return { header: kept.header, buckets: digests }
  }

  bucket(seq: number, index: number): ReadonlyMap<string, Uint8Array> {
    const kept = this.kept.find((other) => other.seq === seq)
    return new Map([...(kept?.rows ?? [])].filter(([id]) => placeOf(id) === index))
  }

  #make(begin: Pick<ReplicaOptions, "restore" | "shardOf"> = {}): ReplicaProtocol {
    const definitions = this.#definitions
    // as production does: the rows of the newest checkpoint, where it is kept whole
    const newest = (): ReadonlyMap<string, Uint8Array> => this.kept.at(-1)?.rows ?? new Map()
    const shelf = { read: (id: string) => newest().get(id), rows: newest }
    const options = { ...this.#options, definitions, ...(this.#fleet.mode.storage === "copies" && { shelf }) }
    return this.#fleet.mode.replica({ ...options, determinism: "guarded", ...begin })
  }

  #attach(): void {
    const { log, firstSeq } = this.#fleet
    this.#step({ _tag: "Attached", logId: "log", firstSeq, lastSeq: log.length, nowMs: this.#nowMs })
    this.#read = this.protocol.status.from - 1
  }

  #step(input: ReplicaInput): void {
    for (const output of this.protocol.step(input)) this.#carryOut(output)
  }

  #carryOut(output: ReplicaOutput): void {
    switch (output._tag) {
      case "Send":
        return this.#vote(output.bytes)
      case "Attest":
        return void this.#fleet.put(output.bytes, `replica.${this.replica}`)
      case "Persist":
        return void this.#unsynced.push(output.changes)
      case "Request":
        return this.#request(output.to, output.request)
      case "Stage":
        return this.#stage.add(output.bucket)
      case "Install":
        return this.#install(output.checkpoint)
      case "Reattach":
        return this.#attach()
      case "Halt":
        return void this.halts.push(output.report)
      case "Waits":
        return void this.waits.push(output.detail)
      default:
    }
  }

  #vote(bytes: Uint8Array): void {
    const vote = decodeVote(bytes)
    const { number, count } = decodeStatement(vote.statement)
    const [outcome] = decodeOutcomes(vote.bytes ?? new Uint8Array(), count)
    if (outcome === undefined) return
    const value = outcome._tag === "Returned" ? outcome.value : outcome._tag
    this.#fleet.said.push({ replica: this.replica, number, value })
  }

  #request(to: ReplicaId, request: TransferRequest): void {
    const peer = this.#fleet.members.find(({ replica }) => replica === to)
    for (const answer of peer === undefined ? [] : answersTo(peer, request))
      this.#step({ _tag: "Answer", from: to, answer })
  }

  #install(checkpoint: StagedCheckpoint): void {
    const { seq, header, buckets } = checkpoint
    const rows = this.#stage.take(checkpoint)
    this.#unsynced = []
    if (this.#fleet.mode.storage === "copies") this.kept = [{ seq, header, rows, buckets }]
    this.protocol = this.#make({ restore: { header, rows } })
    this.#attach()
  }
}

const EMPTY_BUCKET = bucketDigest(new Map())

/** The schema that the newest checkpoint on a disk was taken with. */
export function keptSchema(member: Member): unknown {
  const newest = member.kept.at(-1)
  if (newest === undefined) return undefined
  const { seq, schema, since } = decodeHeader(newest.header)
  return { seq, since, number: schema.number, versions: Object.fromEntries(schema.versions) }
}
