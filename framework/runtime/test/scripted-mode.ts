import type { Digest, ReplicaId, Roster } from "@lockstep/core"
import type {
  ReignStatus,
  ReplicaInput,
  ReplicaOptions,
  ReplicaOutput,
  ReplicaProtocol,
  ReplicaStatus,
  ReplicationMode,
} from "@lockstep/replication"

/** A protocol that does what its test says, and remembers what it was told: so the shell around it can be tested by itself. */
export class ScriptedReplica implements ReplicaProtocol {
  readonly incarnation: string
  readonly journal: ReadonlyArray<string>
  readonly inputs: Array<ReplicaInput> = []
  readonly times: Array<number | undefined> = []
  reign: ReignStatus | undefined
  answer: (input: ReplicaInput) => ReadonlyArray<ReplicaOutput> = () => []
  readonly #roster: Roster

  constructor({ incarnation = "", journal = [], roster }: ReplicaOptions) {
    this.incarnation = incarnation
    this.journal = [...journal].map((record) => Buffer.from(record).toString())
    this.#roster = roster
  }

  /** What it was told, but for the time and the log. */
  get told(): ReadonlyArray<ReplicaInput> {
    return this.inputs.filter(({ _tag }) => !["Tick", "Attached", "Entries"].includes(_tag))
  }

  step(input: ReplicaInput, nowMs?: number): ReadonlyArray<ReplicaOutput> {
    this.inputs.push(input)
    this.times.push(nowMs)
    return this.answer(input)
  }

  get status(): ReplicaStatus {
    return {
      applied: 0,
      chain: "" as Digest, // nobody compares it
      from: 1,
      caughtUp: false,
      halted: undefined,
      actors: 0,
      resident: 0,
      sessions: 0,
      executed: 0,
      stable: 0,
      durable: 0,
      roster: this.#roster,
      role: "voter",
      onProbation: false,
      probation: undefined,
      schema: { number: 0, versions: new Map() },
      waits: undefined,
      repeated: 0,
      malformed: 0,
      ...(this.reign && { reign: this.reign }),
      stateDigest: () => "" as Digest, // nobody compares it
    }
  }
}

/** A mode in which one replica executes. Its protocols are told to the test, by replica, the newest last. */
export function scripted(made: Map<ReplicaId, Array<ScriptedReplica>>): ReplicationMode {
  const unused = (): never => {
    throw new Error("no client calls a scripted replica")
  }
  return {
    kind: "scripted",
    lane: "scripted",
    rules: {},
    replicas: 3,
    execution: "once",
    quorum: 1,
    holders: 1,
    storage: "copies",
    tickMs: 20,
    certificates: unused,
    client: unused,
    replica: (options) => {
      const replica = new ScriptedReplica(options)
      made.set(options.replica, [...(made.get(options.replica) ?? []), replica])
      return replica
    },
  }
}
