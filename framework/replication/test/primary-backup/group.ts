import {
  ByteWriter,
  ClientId,
  decode,
  encode,
  encodeShared,
  type Entry,
  genesisRoster,
  GroupName,
  type LockstepError,
  OutcomeUnknown,
  type Outcome,
  Partition,
  ReplicaId,
  writeReturned,
} from "@lockstep/core"
import { define, type Execution } from "@lockstep/actor"
import {
  answersTo,
  CLIENT_LIMITS,
  type ClientInput,
  type ClientOutput,
  type Reads,
  type ReignNotice,
  type ReplicaInput,
  type ReplicaOptions,
  type ReplicaOutput,
  type ReplicaProtocol,
  type ReplicationMode,
  type Submission,
} from "@lockstep/replication"
import { Counter } from "../counter.ts"
import { Disk } from "./disk.ts"

const TICK_MS = 50

/** What became of a call. */
export interface Call {
  outcome?: Outcome
  error?: LockstepError
}

/** What the client is given of it. */
interface Sent extends Submission {
  readonly call: Call
}

interface Written {
  readonly position: number
  readonly bytes: Uint8Array
}

type How = "checkpointEveryBatches" | "checkpointEveryBytes" | "shipments" | "sessionLimits"

/** A group of one partition whose network, log and disks take no time, driven by hand. */
export class Group {
  nowMs = 0
  readonly names: ReadonlyArray<ReplicaId>
  readonly replicas = new Map<ReplicaId, ReplicaProtocol>()
  readonly entries: Array<Entry> = []
  readonly journals = new Map<ReplicaId, ReadonlyArray<Written>>()
  /** Where checkpoints are taken; empty where none are. */
  readonly disks = new Map<ReplicaId, Disk>()
  /** How often a checkpoint of the primary was put in place of what a replica had. */
  installed = 0
  /** Replicas that nobody hears, and that hear nobody; the log neither. */
  readonly cut = new Set<string>()
  /** Replicas whose disks take nothing for now: what they write is lost with their power. */
  readonly stuck = new Set<string>()
  /** Writes that wait for that, by replica. */
  readonly #unwritten = new Map<ReplicaId, Array<() => void>>()
  /** What the client sends, and that is under way until `deliver`. */
  isSlow: (to: ReplicaId, bytes: Uint8Array) => boolean = () => false
  slow: Array<() => void> = []
  /** The client hears nothing of this one. */
  mute: ReplicaId | undefined
  /** Batches of commands that were executed: by whom, and the number of the first one. */
  readonly executions: Array<string> = []
  isLogAway = false
  /** Of what replicas tell each other, this does not get there. */
  isLost: (to: ReplicaId, bytes: Uint8Array) => boolean = () => false
  /** What replicas wrote to the log, and it has not got yet; undefined: it gets everything at once. */
  late: Array<{ readonly source: string; readonly bytes: Uint8Array }> | undefined
  /** The log has no entries before this one. */
  firstSeq = 1
  /** What replicas told each other. */
  readonly told: Array<{ readonly from: ReplicaId; readonly to: ReplicaId; readonly bytes: Uint8Array }> = []
  /** Whom the client has sent something, in order. */
  readonly asked: Array<ReplicaId> = []
  #sides: ReadonlyArray<ReadonlyArray<string>> = []
  /** What callers were sent. */
  readonly sent: Array<Uint8Array> = []
  readonly reigns: Array<ReplicaOutput & { _tag: "Reign" }> = []
  /** What masters told operators. */
  readonly notices: Array<{ readonly from: ReplicaId; readonly notice: ReignNotice }> = []
  /** What the caller's next calls are traced by. */
  trace: string | undefined
  readonly client
  readonly #mode: ReplicationMode
  readonly #how: Pick<ReplicaOptions, How>
  #queue: Array<() => void> = []
  #lives = 0
  /** How far each has read the log. */
  readonly #read = new Map<ReplicaId, number>()
  #isRunning = false

  constructor(mode: ReplicationMode, how: Pick<ReplicaOptions, How> = {}) {
    this.#mode = mode
    this.#how = how
    this.names = Array.from({ length: mode.replicas }, (_, i) => ReplicaId(`r${i}`))
    if (how.checkpointEveryBatches !== undefined)
      for (const name of this.names) this.disks.set(name, new Disk())
    this.client = mode.client<Sent>({ ...this.#membership, client: ClientId("c"), limits: CLIENT_LIMITS })
    for (const name of this.names) this.start(name)
  }

  get #membership() {
    return { group: GroupName("g"), partition: Partition(0), roster: genesisRoster(this.names), logId: "log" }
  }

  start(name: ReplicaId): void {
    const disk = this.disks.get(name)
    const restore = disk?.newest
    const protocol = this.#mode.replica({
      ...this.#membership,
      replica: name,
      definitions: new Map([["Counter", define(Counter)]]),
      determinism: "guarded",
      incarnation: `life${this.#lives++}`,
      journal: (this.journals.get(name) ?? []).map(({ bytes }) => bytes),
      ...this.#how,
      ...(disk && { shelf: disk }),
      ...(restore && { restore }),
    })
    this.replicas.set(name, protocol)
    this.#step(name, {
      _tag: "Attached",
      logId: "log",
      firstSeq: this.firstSeq,
      lastSeq: this.entries.length,
      nowMs: this.nowMs,
    })
    this.#read.set(name, Math.max(protocol.status.from, this.firstSeq) - 1)
    this.#catchUp()
    this.run()
  }

  stop(name: ReplicaId): void {
    this.#unwritten.delete(name)
    this.replicas.delete(name)
  }

  /** The disk takes what has waited. */
  unstick(name: ReplicaId): void {
    this.stuck.delete(name)
    for (const write of this.#unwritten.get(name) ?? []) write()
    this.#unwritten.delete(name)
    this.run()
  }

  /** What the client has sent arrives. */
  deliver(): void {
    const { slow } = this
    this.slow = []
    for (const arrive of slow) arrive()
    this.run()
  }

  get master(): ReplicaId | undefined {
    const all = [...this.replicas.values()].map(({ status }) => status.reign)
    return all.toSorted((a, b) => (b?.epoch ?? 0) - (a?.epoch ?? 0))[0]?.master
  }

  /** Nobody is down, cut off, or out of sync. */
  get isWhole(): boolean {
    const { size } = this.replicas
    const inSync = this.replicas.get(this.master ?? ReplicaId("none"))?.status.reign?.inSync ?? []
    const isConnected = this.cut.size === 0 && this.#sides.length === 0 && !this.isLogAway
    return size === this.names.length && isConnected && inSync.length === size
  }

  /** Lets this much time pass. */
  advance(ms: number): void {
    for (let left = ms; left > 0; left -= TICK_MS) {
      this.nowMs += TICK_MS
      for (const name of this.replicas.keys()) this.#step(name, { _tag: "Tick", nowMs: this.nowMs })
      this.#clientStep({ _tag: "Tick", nowMs: this.nowMs })
      this.run()
    }
  }

  /** Nobody hears anybody on another side; what the log holds is read again by those who were cut off from it. */
  partition(sides: ReadonlyArray<ReadonlyArray<string>>): void {
    this.#sides = sides
    this.#catchUp()
  }

  call(member: string, args: ReadonlyArray<unknown>, reads: Reads = "linearizable"): Call {
    const call: Call = {}
    const sent = { ...this.#sent(call, member, args), ...(member === "get" && { reads }) }
    this.#clientStep({ _tag: "Submit", calls: [sent], nowMs: this.nowMs })
    this.#clientStep({ _tag: "Flush", nowMs: this.nowMs })
    this.run()
    return call
  }

  #sent(call: Call, member: string, args: ReadonlyArray<unknown>): Sent {
    return { call, type: "Counter", member, key: "a", args: encodeShared(args), trace: this.trace }
  }

  retry(error: LockstepError | undefined): Call {
    const call: Call = {}
    const number = error instanceof OutcomeUnknown ? (error.command?.number ?? -1) : -1
    this.#clientStep({ _tag: "Retry", number, call: this.#sent(call, "retried", []), nowMs: this.nowMs })
    this.run()
    return call
  }

  tell(name: ReplicaId, input: ReplicaInput): void {
    this.#step(name, input)
    this.run()
  }

  /** The client hears this, whoever sent it. */
  hear(from: ReplicaId, bytes: Uint8Array): void {
    this.#clientStep({ _tag: "Vote", from, bytes, nowMs: this.nowMs })
    this.run()
  }

  close(): void {
    this.#clientStep({ _tag: "Close", nowMs: this.nowMs })
    this.run()
  }

  run(): void {
    if (this.#isRunning) return
    this.#isRunning = true
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) next()
    this.#isRunning = false
  }

  #isCut(a: string, b: string): boolean {
    const side = this.#sides.find((names) => names.includes(a))
    return this.cut.has(a) || this.cut.has(b) || (side !== undefined && !side.includes(b))
  }

  #step(name: ReplicaId, input: ReplicaInput): void {
    const protocol = this.replicas.get(name)
    for (const output of protocol?.step(input, this.nowMs) ?? []) this.#carryOut(name, output)
  }

  #later(name: ReplicaId, input: ReplicaInput): void {
    const protocol = this.replicas.get(name)
    this.#queue.push(() => this.replicas.get(name) === protocol && this.#step(name, input))
  }

  #carryOut(name: ReplicaId, output: ReplicaOutput): void {
    switch (output._tag) {
      case "Send":
        this.sent.push(output.bytes)
        if (!this.#isCut(name, "c") && this.mute !== name)
          this.#queue.push(() =>
            this.#clientStep({ _tag: "Vote", from: name, bytes: output.bytes, nowMs: this.nowMs }),
          )
        return
      case "Tell":
        for (const to of this.names)
          if (to !== name && (output.to ?? to) === to && !this.#isCut(name, to)) {
            this.told.push({ from: name, to, bytes: output.bytes })
            if (this.isLost(to, output.bytes)) continue
            this.#later(to, { _tag: "Peer", from: name, bytes: output.bytes })
          }
        return
      case "Attest":
        if (this.#isCut(name, "log") || this.isLogAway) return
        if (this.late === undefined) return this.append(`replica.${name}`, output.bytes)
        this.late.push({ source: `replica.${name}`, bytes: output.bytes })
        return
      case "Journal": {
        const { from, records } = output
        const write = (): void => {
          const kept = (this.journals.get(name) ?? []).filter(({ position }) => position < from)
          const written = records.map((bytes, i) => ({ position: from + i, bytes }))
          this.journals.set(name, [...kept, ...written])
          this.#later(name, { _tag: "Journaled", write: output.write })
        }
        if (!this.stuck.has(name)) return write()
        this.#unwritten.set(name, [...(this.#unwritten.get(name) ?? []), write])
        return
      }
      case "Execute":
        if (output.execution.kind === "command") this.executions.push(`${name}: ${output.execution.number}`)
        return this.#later(name, { _tag: "Executed", executed: execute(output.execution) })
      case "Trim": {
        const kept = (this.journals.get(name) ?? []).filter(({ position }) => position >= output.below)
        this.journals.set(name, kept)
        return
      }
      case "Persist":
        if (this.disks.get(name)?.isFull === true) return
        this.disks.get(name)?.keep(output.changes)
        return this.#later(name, { _tag: "Persisted", seq: output.changes.seq })
      case "Request":
        return this.#request(name, output)
      case "Stage":
        return this.disks.get(name)?.stage(output.bucket)
      case "Install":
        this.installed++
        this.disks.get(name)?.install(output.checkpoint)
        this.journals.delete(name)
        this.#queue.push(() => this.start(name))
        return
      case "Reign":
        this.reigns.push(output)
        return
      case "Notice":
        this.notices.push({ from: name, notice: output.notice })
        return
      default:
        return
    }
  }

  #request(name: ReplicaId, { to, request }: ReplicaOutput & { _tag: "Request" }): void {
    const library = this.disks.get(to)
    if (library === undefined || this.#isCut(name, to) || !this.replicas.has(to)) return
    for (const answer of answersTo(library, request)) this.#later(name, { _tag: "Answer", from: to, answer })
  }

  /** The log gets what it has not got yet. */
  arrive(): void {
    const late = this.late ?? []
    this.late = undefined
    for (const { source, bytes } of late) this.append(source, bytes)
    this.run()
  }

  append(source: string, payload: Uint8Array): void {
    const timeNs = BigInt(Math.round(this.nowMs * 1e6))
    const entry = { seq: this.entries.length + 1, timeNs, source, payload }
    this.entries.push(entry)
    this.#catchUp()
  }

  #catchUp(): void {
    for (const name of this.names) {
      const read = this.#read.get(name) ?? 0
      if (this.#isCut(name, "log") || !this.replicas.has(name) || read >= this.entries.length) continue
      this.#read.set(name, this.entries.length)
      this.#later(name, { _tag: "Entries", entries: this.entries.slice(read) })
    }
  }

  #clientStep(input: ClientInput<Sent>): void {
    for (const output of this.client.step(input)) this.#settle(output)
  }

  #ask({ replica, bytes, token }: ClientOutput<Sent> & { _tag: "Ask" }): void {
    this.asked.push(replica)
    const arrive = (): void => this.#arrive(replica, bytes, token)
    if (this.isSlow(replica, bytes)) this.slow.push(arrive)
    else arrive()
  }

  #arrive(replica: ReplicaId, bytes: Uint8Array, token: number | undefined): void {
    if (this.#isCut("c", replica)) return
    if (this.replicas.has(replica)) this.#later(replica, { _tag: "Message", bytes })
    else if (token !== undefined)
      this.#queue.push(() => this.#clientStep({ _tag: "Unheard", token, nowMs: this.nowMs }))
  }

  #settle(output: ClientOutput<Sent>): void {
    if (output._tag === "Ask") this.#ask(output)
    else if (output._tag === "Settle")
      for (const [i, call] of output.calls.entries())
        Object.assign(call?.call ?? {}, { outcome: output.outcomes[i] })
    else if (output._tag === "Fail") output.call.call.error = output.error
  }
}

/** Counters, executed as a shell would. */
function execute({ token, actors, commands }: Execution) {
  const writer = new ByteWriter(1024)
  const values = actors.map(({ row }) => (row === undefined ? 0 : (decode(Buffer.from(row)) as number))) // as below
  const before = [...values]
  for (const { actor, member, args } of commands) {
    const [amount] = decode(args) as ReadonlyArray<number> // as called above
    if (member === "add") values[actor] = (values[actor] ?? 0) + (amount ?? 0)
    writeReturned(writer, values[actor])
  }
  const rows = values.map((value, i) => (value === before[i] ? undefined : encode(value)))
  return { token, outcomes: writer.take(), rows }
}
