import {
  decodeEnvelope,
  encodeReconfiguration,
  Epoch,
  Malformed,
  objectionTo,
  OPERATOR,
  ReplicaId,
  type Roster,
} from "@lockstep/core"
import type { ReplicationMode } from "@lockstep/replication"
import type { SimulatedLog } from "./log.ts"
import type { MembershipChange } from "./membership.ts"
import type { Network } from "./network.ts"
import type { Random } from "./random.ts"
import type { SimulatedReplica } from "./replica.ts"
import type { Schedule } from "./schedule.ts"

/** A replica that is this far behind gets no vote: it may take some time to get there. */
const BEHIND_ENTRIES_MAX = 20

export interface OperatorOptions {
  readonly schedule: Schedule
  readonly network: Network
  readonly log: SimulatedLog
  readonly random: Random
  readonly mode: ReplicationMode
  readonly genesis: Roster
  readonly replicas: () => ReadonlyArray<SimulatedReplica>
  /** Whether a replica may get a vote: one that was wrong on purpose never does again. */
  readonly isTrusted: (index: number) => boolean
  /** Whether the group can do without this replica just now. */
  readonly mayLeave: (index: number) => boolean
  /** An entry is on its way to the log. */
  readonly onStated: (entry: Uint8Array) => void
}

/** Operators, who change who votes by entries in the log, and the copy of the roster beside the log, which is late. */
export class SimulatedOperator {
  /** What whoever does not read the log can know. */
  copy: Roster
  /** Where the log states that, as the copy says. */
  copySince: number | undefined
  /** Changes that took effect. */
  changes = 0
  readonly #options: OperatorOptions
  #read = 0
  #current: Roster
  #since: number | undefined
  #healed = false

  constructor(options: OperatorOptions) {
    this.#options = options
    this.copy = this.#current = options.genesis
  }

  /** States another roster, where the margin allows it; first the copy of an earlier one is finished. */
  change(change: MembershipChange): void {
    const { random } = this.#options
    const current = this.#follow()
    this.#copy()
    const wanted = [this.#wanted(change, current)]
    if (change.isContested) wanted.push(this.#wanted({ ...change, target: undefined }, current))
    for (const roster of random.shuffle(wanted)) if (roster !== undefined) this.#state(roster, change)
  }

  /** Who votes, by what the log states. */
  get stated(): Roster {
    return this.#follow()
  }

  /** Nothing is late any more. */
  heal(): void {
    this.#healed = true
    this.#copy()
  }

  /** The next roster, as somebody states it who is no operator. */
  usurpation(): Buffer {
    const { epoch, voters } = this.#follow()
    const strangers = voters.map((voter) => ReplicaId(`not-${voter}`))
    return encodeReconfiguration({ epoch: Epoch(epoch + 1), voters: strangers, standbys: [] })
  }

  #copy(): void {
    this.copy = this.#follow()
    this.copySince = this.#since
  }

  #state(roster: Roster, { copiedAfterMs }: MembershipChange): void {
    const { network, log, schedule, onStated } = this.#options
    const entry = encodeReconfiguration(roster)
    onStated(entry)
    network.send(OPERATOR, "log", "roster", "connection", () => {
      log.append(OPERATOR, OPERATOR, entry)
      schedule.after(this.#healed ? 0 : copiedAfterMs, "the roster is copied", () => this.#copy())
    })
  }

  /** The next roster; undefined where the margin would not allow it. */
  #wanted({ kind, target }: MembershipChange, current: Roster): Roster | undefined {
    const { random, mode, replicas } = this.#options
    const all = replicas()
    const voters = new Set(current.voters)
    const standbys = new Set(current.standbys)
    const leaving = target === undefined ? random.pick(current.voters) : all[target]?.replica
    const candidates = all.filter(
      ({ replica }, i) => !voters.has(replica) && this.#options.isTrusted(i) && this.#isFit(replica),
    )
    if (kind !== "remove") {
      if (candidates.length === 0) return undefined
      const coming = random.pick(candidates).replica
      voters.add(coming)
      standbys.delete(coming)
    } else if (voters.size <= mode.replicas) return undefined
    if (kind !== "add" && leaving !== undefined && voters.delete(leaving)) {
      if (random.chance(0.5)) standbys.add(leaving)
      if (!this.#options.mayLeave(all.findIndex(({ replica }) => replica === leaving))) return undefined
    }
    const margin = [...voters].filter((voter) => this.#isFit(voter)).length - mode.quorum
    if (margin < 0) return undefined
    return { epoch: Epoch(current.epoch + 1), voters: [...voters], standbys: [...standbys] }
  }

  #isFit(name: ReplicaId): boolean {
    const { replicas, log } = this.#options
    const replica = replicas().find((other) => other.replica === name)
    const status = replica?.isUp === true ? replica.protocol?.status : undefined
    return (
      status !== undefined &&
      status.halted === undefined &&
      status.waits === undefined &&
      !status.onProbation &&
      status.applied > log.entries().length - BEHIND_ENTRIES_MAX
    )
  }

  /** The roster that the log states. */
  #follow(): Roster {
    const { log, mode } = this.#options
    const entries = log.entries()
    for (; this.#read < entries.length; this.#read++) {
      const entry = entries[this.#read]
      const next = entry && rosterIn(entry.payload)
      if (entry === undefined || next === undefined) continue
      const stated = { source: entry.source, current: this.#current, quorum: mode.quorum }
      if (objectionTo(next, stated) !== undefined) continue
      this.#current = next
      this.#since = entry.seq
      this.changes++
    }
    return this.#current
  }
}

function rosterIn(payload: Uint8Array): Roster | undefined {
  try {
    const envelope = decodeEnvelope(payload)
    return envelope._tag === "Reconfiguration" ? envelope.roster : undefined
  } catch (cause) {
    if (cause instanceof Malformed) return undefined
    throw cause
  }
}
