import { type ActorClass, defineAll, type Observer } from "@lockstep/actor"
import {
  ClientId,
  decodeEnvelope,
  type Entry,
  encodeShared,
  genesisRoster,
  GroupName,
  OPERATOR,
  Partition,
  ReplicaId,
  type LockstepError,
  type Outcome,
} from "@lockstep/core"
import {
  CLIENT_LIMITS,
  type ClientLimits,
  type ClientOutput,
  type ClientProtocol,
  type Decision,
  type HaltReport,
  type LateVote,
  type ReplicaOutput,
  type ReplicaProtocol,
  type ReplicationMode,
  type Submission,
} from "@lockstep/replication"

/** A call of a test, and what came of it. */
export interface TestCall extends Submission {
  outcome?: Outcome
  seq?: number
  decision?: Decision
  index?: number
  error?: LockstepError
  settled: number
}

/**
 * One partition in memory: a log, replicas and one client, whose messages move only when the test says so. The protocols in
 * it are the ones that production runs.
 */
export class World {
  readonly names: ReadonlyArray<ReplicaId>
  readonly replicas = new Map<ReplicaId, ReplicaProtocol>()
  readonly client: ClientProtocol<TestCall>
  readonly log: Array<Entry> = []
  /** Messages that are under way; a test may drop, double or reorder them. */
  readonly toLog: Array<{ readonly token: number; readonly bytes: Uint8Array }> = []
  readonly toClient: Array<{ readonly from: string; readonly bytes: Uint8Array }> = []
  readonly toReplica: Array<{ readonly to: ReplicaId; readonly bytes: Uint8Array }> = []
  /** What replicas complained of, halted at, or begin anew for. */
  readonly halts: Array<{ readonly does: "Halt" | "Reattach" | "Rejoin"; readonly report: HaltReport }> = []
  readonly dissents: Array<ClientOutput<TestCall> & { _tag: "Dissent" }> = []
  readonly late: Array<LateVote> = []
  /** What the next calls are sent with. */
  trace: string | undefined
  /** How often the client asked for the current roster. */
  refreshes = 0
  nowMs = 0
  readonly #mode: ReplicationMode
  readonly #definitions
  readonly #read = new Map<ReplicaId, number>()

  constructor(mode: ReplicationMode, actors: ReadonlyArray<ActorClass>, limits: Partial<ClientLimits> = {}) {
    this.#mode = mode
    this.#definitions = defineAll(actors)
    this.names = Array.from({ length: mode.replicas }, (_, i) => ReplicaId(`r${i}`))
    for (const name of this.names) this.restart(name)
    this.client = mode.client<TestCall>({
      ...this.membership(),
      client: ClientId("client"),
      limits: { ...CLIENT_LIMITS, ...limits },
    })
  }

  /** Issues a call; it is sent with the others of the turn at `flush`. */
  call(member: string, key: string, ...args: ReadonlyArray<unknown>): TestCall {
    const [type = ""] = this.#definitions.keys()
    const call: TestCall = { type, member, key, args: encodeShared(args), trace: this.trace, settled: 0 }
    this.toldClient(this.client.step({ _tag: "Submit", calls: [call], nowMs: this.nowMs }))
    return call
  }

  flush(): void {
    this.toldClient(this.client.step({ _tag: "Flush", nowMs: this.nowMs }))
  }

  /** The log takes an entry that is under way, and perhaps says so. */
  append(acknowledge: "acknowledged" | "silent" = "acknowledged", at = 0): void {
    const [entry] = this.toLog.splice(at, 1)
    if (entry === undefined) return
    this.put(entry.bytes)
    if (acknowledge === "acknowledged")
      this.toldClient(this.client.step({ _tag: "Appended", token: entry.token, seq: this.log.length }))
  }

  /** Bytes that anybody may have written. */
  put(payload: Uint8Array, source = writerOf(payload)): void {
    const seq = this.log.length + 1
    this.log.push({ seq, timeNs: BigInt(seq) * 1_000_000n, source, payload })
  }

  /** A replica reads all that is new in the log. */
  read(name: ReplicaId, entriesMax = Number.POSITIVE_INFINITY): void {
    const from = this.#read.get(name) ?? 0
    const entries = this.log.slice(from, from + entriesMax)
    this.#read.set(name, from + entries.length)
    this.toldReplica(name, this.replica(name).step({ _tag: "Entries", entries }))
  }

  replica(name: ReplicaId): ReplicaProtocol {
    const replica = this.replicas.get(name)
    if (replica === undefined) throw new Error(`no replica ${name}`)
    return replica
  }

  /** A new process: nothing is remembered, the log is read from the beginning. */
  restart(name: ReplicaId, definitions = this.#definitions): void {
    const replica = this.#mode.replica({
      ...this.membership(),
      replica: name,
      definitions,
      determinism: "guarded",
      observer: naming(name),
    })
    this.replicas.set(name, replica)
    this.#read.set(name, 0)
    replica.step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: this.log.length, nowMs: this.nowMs })
  }

  vote(at = 0): void {
    const [message] = this.toClient.splice(at, 1)
    if (message !== undefined)
      this.toldClient(this.client.step({ _tag: "Vote", ...message, nowMs: this.nowMs }))
  }

  ask(at = 0): void {
    const [message] = this.toReplica.splice(at, 1)
    if (message !== undefined)
      this.toldReplica(message.to, this.replica(message.to).step({ _tag: "Message", bytes: message.bytes }))
  }

  tick(ms: number): void {
    this.nowMs += ms
    this.toldClient(this.client.step({ _tag: "Tick", nowMs: this.nowMs }))
  }

  /** Everything moves, in order, until nothing is left to move. */
  run(alive: ReadonlyArray<ReplicaId> = this.names): void {
    this.flush()
    do {
      while (this.toLog.length > 0) this.append()
      for (const name of alive) this.read(name)
      while (this.toReplica.length > 0) {
        if (alive.includes(this.toReplica[0]?.to ?? ReplicaId("none"))) this.ask()
        else this.toReplica.shift()
      }
      while (this.toClient.length > 0) this.vote()
    } while (this.toLog.length + this.toReplica.length > 0)
  }

  toldClient(outputs: ReadonlyArray<ClientOutput<TestCall>>): void {
    for (const output of outputs) {
      switch (output._tag) {
        case "Append":
          this.toLog.push(output)
          break
        case "Ask":
          this.toReplica.push({ to: output.replica, bytes: output.bytes })
          break
        case "Settle":
          for (const [index, call] of output.calls.entries()) {
            const outcome = output.outcomes[index]
            if (call === undefined || outcome === undefined) continue
            Object.assign(call, { outcome, index, seq: output.seq, decision: output.decision })
            call.settled++
          }
          break
        case "Fail":
          output.call.error = output.error
          output.call.settled++
          break
        case "Dissent":
          this.dissents.push(output)
          break
        case "Late":
          this.late.push(output)
          break
        case "Refresh":
          this.refreshes++
          break
      }
    }
  }

  toldReplica(name: ReplicaId, outputs: ReadonlyArray<ReplicaOutput>): void {
    for (const output of outputs) {
      if (output._tag === "Send") this.toClient.push({ from: name, bytes: output.bytes })
      if (output._tag === "Halt" || output._tag === "Rejoin")
        this.halts.push({ does: output._tag, report: output.report })
      if (output._tag === "Reattach" && output.complaint !== undefined)
        this.halts.push({ does: output._tag, report: output.complaint })
    }
  }

  /** What replicas and the client begin with. */
  membership() {
    return {
      group: GroupName("group"),
      partition: Partition(0),
      roster: genesisRoster(this.names),
      logId: "log",
    }
  }
}

/** Names what a replica does, as no other does. */
function naming(replica: ReplicaId): Observer {
  let count = 0
  return {
    begin: () => ({ span: `${replica}-${++count}`, run: (command) => command(), end: () => undefined }),
    unseen: (command) => command(),
  }
}

/** The client that an envelope names; anybody, where it is none. */
function writerOf(payload: Uint8Array): string {
  try {
    const envelope = decodeEnvelope(payload)
    if (envelope._tag === "Reconfiguration" || envelope._tag === "Upgrade") return OPERATOR
    if (envelope._tag === "Renewal" || envelope._tag === "Bid") return "replica.anybody"
    return envelope._tag === "Attestation" ? `replica.${envelope.replica}` : `client.${envelope.client}`
  } catch {
    return "client.anybody"
  }
}

/** What a call returned; a failed one fails the test that reads it. */
export function value(call: TestCall): unknown {
  if (call.outcome?._tag === "Returned") return call.outcome.value
  throw new Error(
    `${call.member} did not return: ${JSON.stringify(call.outcome ?? call.error?.message ?? "open")}`,
  )
}
