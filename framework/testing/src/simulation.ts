import type { ActorDefinition } from "@lockstep/actor"
import { genesisRoster, GroupName, Partition, ReplicaId, type Roster } from "@lockstep/core"
import {
  CLIENT_LIMITS,
  erasureCoded,
  type Membership,
  type ReplicaOutput,
  type ReplicaStatus,
  type ReplicationMode,
  stateMachine,
  type TransferRequest,
} from "@lockstep/replication"
import { Agreement } from "./agreement.ts"
import { Caller, type CallRecord } from "./caller.ts"
import { Chronicle } from "./chronicle.ts"
import { Custody } from "./custody.ts"
import { SimulatedClient } from "./client.ts"
import { echo } from "./conspiracy.ts"
import { SimulatedDisk } from "./disk.ts"
import { Liar } from "./liar.ts"
import { SimulatedLog } from "./log.ts"
import { ROBS } from "./margin.ts"
import { naming } from "./naming.ts"
import { Nemesis } from "./nemesis.ts"
import { Network } from "./network.ts"
import { Once } from "./once.ts"
import { SimulatedOperator } from "./operator.ts"
import { NEVER, Random } from "./random.ts"
import { SimulatedReplica } from "./replica.ts"
import type { Scenario } from "./scenario.ts"
import { Schedule } from "./schedule.ts"
import { clockErrors, primaryBackupOf } from "./single-master.ts"
import { Succession } from "./succession.ts"
import { Builds, SimulatedUpgrade } from "./upgrade.ts"
import { faultyBuild, inMemory, type Memory, type Workload } from "./workload.ts"

/** How long everybody may take to be answered again after the last fault, virtual milliseconds. */
const HEALING_MS = 60_000
/** Silence at the end, in which the slowest message arrives. */
const QUIET_MS = 20_000
/** Calls that every caller must get answered after the last fault. */
export const CALLS_AFTER_HEALING = 5
/**
 * One run: a partition's replicas and clients over a simulated log, network and clock, from the scenario alone. It lets
 * things happen; checkers judge what is left behind.
 */
export class Simulation {
  readonly scenario: Scenario
  readonly workload: Workload
  readonly schedule = new Schedule()
  readonly network: Network
  readonly log: SimulatedLog
  readonly operator: SimulatedOperator
  readonly replicas: ReadonlyArray<SimulatedReplica>
  readonly clients: ReadonlyArray<SimulatedClient>
  readonly callers: ReadonlyArray<Caller>
  readonly builds: Builds
  readonly upgrade: SimulatedUpgrade | undefined
  readonly disks: Array<SimulatedDisk> = []
  readonly memories: Array<Memory> = []
  readonly records: Array<CallRecord> = []
  readonly dissents = new Map<string, number>()
  readonly agreement = new Agreement()
  /** What became of records and masters, where one replica is the master. */
  readonly chronicle = new Chronicle()
  readonly succession: Succession | undefined
  /** Who holds what is acknowledged; where disks are robbed, nobody can say afterwards who did. */
  readonly custody: Custody | undefined
  readonly nemesis: Nemesis
  /** When the faults stopped. */
  healedAtMs = 0
  /** How things were when the log broke its promise. */
  breakage:
    | {
        readonly lastSeq: number
        readonly applied: ReadonlyArray<number>
        readonly transfers: ReadonlyArray<number>
      }
    | undefined
  /** Entries that the log lost. */
  lost = 0
  readonly #random: Random
  readonly #liars: ReadonlyMap<number, Liar>

  constructor(scenario: Scenario, workload: Workload) {
    this.scenario = scenario
    this.workload = workload
    const random = (this.#random = new Random(`simulation ${scenario.seed}`))
    this.network = new Network(this.schedule, random.fork("network"), scenario.network)
    this.log = new SimulatedLog(this.schedule, random.fork("log"), this.network)
    this.builds = new Builds(workload)
    const mode = modeOf(scenario)
    const names = Array.from({ length: mode.replicas + scenario.spares }, (_, i) => ReplicaId(`r${i}`))
    const genesis = genesisRoster(names.slice(0, mode.replicas))
    const membership: Membership = {
      group: GroupName("simulated"),
      partition: Partition(0),
      roster: genesis,
      logId: "log",
    }
    this.#liars = new Map(
      scenario.liars.map((liar) => [
        liar.replica,
        new Liar({
          ...liar,
          random: random.fork("liar"),
          // conspirators tell one lie
          salt: (liar.heirOf ?? liar.replica) + 1,
          isActive: () => liar.heirOf === undefined || this.#hasInherited(liar.replica, liar.heirOf),
        }),
      ]),
    )
    const { schedule, network, log } = this
    const { singleMaster } = scenario
    this.succession = singleMaster && new Succession({ log, setting: singleMaster, genesis })
    const isRobbed = scenario.events.some(({ kind }) => ROBS.has(kind))
    this.custody =
      singleMaster && !isRobbed
        ? new Custody(singleMaster, (name) => this.disks[names.indexOf(name)])
        : undefined
    this.operator = new SimulatedOperator({
      schedule,
      network,
      log,
      random: new Random(`operator ${scenario.seed}`),
      mode,
      genesis,
      replicas: () => this.replicas,
      isTrusted: (index) => !this.isLiar(index),
      mayLeave: (index) => this.nemesis.canDoWithout(index),
      onStated: (entry) => this.succession?.said(entry),
    })
    const { upgrade: upgrading } = scenario
    const { builds } = this
    this.upgrade =
      upgrading &&
      new SimulatedUpgrade({
        schedule,
        network,
        log,
        mode,
        upgrading,
        builds,
        replicas: () => this.replicas,
        voters: () => this.operator.stated.voters,
      })
    const copiedRoster = (): Roster => this.operator.copy
    this.replicas = names.map(
      (replica, i) =>
        new SimulatedReplica({
          schedule,
          network,
          log,
          replica,
          mode,
          membership,
          definitions: this.#buildsOf(i),
          settings: {
            determinism: workload.determinism,
            observer: naming(replica),
            sessionLimits: scenario.sessionLimits,
            actorBytesMax: scenario.actorBytesMax,
            ...(scenario.checkpointEveryBatches > 0 && {
              checkpointEveryBatches: scenario.checkpointEveryBatches,
              checkpointEveryBytes: new Random(`bytes ${scenario.seed}`).pick([2000, NEVER, NEVER]),
              checkpointRows: new Random(`rows ${scenario.seed}/${i}`).pick([1, 3, NEVER]),
            }),
          },
          disk: (this.disks[i] = new SimulatedDisk({
            schedule,
            random: random.fork(`disk ${i}`),
            name: replica,
            journalRandom: new Random(`journal ${scenario.seed}/${i}`),
          })),
          random: random.fork(replica),
          drawClockRate: (own) => this.#drawClockRate(own),
          once: this.#onceOf(replica, i),
          liar: this.#liars.get(i),
          toClient: (from, to, bytes) => this.#toClient(from, to, bytes),
          toPeer: (from, to, request) => this.#toPeer(from, to, request),
          onTruncatable: (below) => this.log.truncate(below - scenario.truncationMargin),
          toPeers: (from, bytes, to) => this.#toPeers(from, bytes, to),
          onCheckpoint: (seq, state) => this.#compareCheckpoint(i, seq, state),
          onExecuted: (_, status) => this.#compare(i, status),
          onSaid: this.#echoOf(i),
          copied: () => ({ roster: this.operator.copy, rosterSince: this.operator.copySince }),
        }),
    )
    this.clients = Array.from(
      { length: scenario.clients },
      (_, i) =>
        new SimulatedClient({
          name: `c${i}`,
          mode,
          membership,
          limits: { ...CLIENT_LIMITS, deadlineMs: scenario.deadlineMs, windowMax: scenario.windowMax },
          schedule,
          network,
          log,
          random: random.fork(`c${i}`),
          toReplica: (from, replica, bytes) => this.#toReplica(from, replica, bytes),
          isListening: (name) => this.replicas.some(({ replica, protocol }) => replica === name && protocol),
          copiedRoster,
          onDissent: (replica) => void this.dissents.set(replica, (this.dissents.get(replica) ?? 0) + 1),
        }),
    )
    this.callers = this.clients.flatMap((client, c) =>
      Array.from(
        { length: scenario.callersPerClient },
        (_, i) =>
          new Caller({
            name: `c${c}.${i}`,
            client,
            workload,
            schedule,
            random: random.fork(`caller ${c}.${i}`),
            thinkMs: (scenario.durationMs * this.#callerCount) / scenario.operations,
            maxStalenessMs: i % 2 === 1 ? (singleMaster?.maxStalenessMs ?? 0) : 0,
            hasReads: singleMaster !== undefined,
            onlyReads: c > 0 && singleMaster?.hasReader === true && c === scenario.clients - 1,
            onRecord: (record) => this.records.push(record),
          }),
      ),
    )
    this.nemesis = new Nemesis(this, random.fork("nemesis"))
  }

  /** Faults and calls, then healing and more calls, then silence. */
  run(): void {
    const { scenario, schedule, callers, nemesis } = this
    nemesis.schedule()
    for (const caller of callers) caller.start()
    schedule.run(scenario.durationMs)
    nemesis.heal()
    this.healedAtMs = schedule.nowMs
    for (const caller of callers) caller.hurry(CALLS_AFTER_HEALING)
    schedule.run(this.healedAtMs + HEALING_MS, () => callers.every((caller) => caller.isDone))
    for (const caller of callers) caller.stop()
    schedule.run(schedule.nowMs + QUIET_MS)
  }

  /** Has a bit flipped in this replica's memory? */
  hasFlipped(index: number): boolean {
    return this.scenario.events.some(
      ({ kind, target, atMs }) => kind === "memory-flip" && target === index && this.schedule.nowMs >= atMs,
    )
  }

  /** Is this replica one that is wrong on purpose? */
  isLiar(index: number): boolean {
    return this.#liars.has(index)
  }

  /** Has this replica read in the log that the other one has no vote any more? */
  #hasInherited(heir: number, liar: number): boolean {
    const { roster } = this.replicas[heir]?.protocol?.status ?? {}
    return roster !== undefined && !roster.voters.some((voter) => voter === this.replicas[liar]?.replica)
  }

  /** A liar who was removed says what its heir says. */
  #echoOf(index: number): ((output: ReplicaOutput) => void) | undefined {
    const { heirOf } = this.scenario.liars.find(({ replica }) => replica === index) ?? {}
    if (heirOf === undefined) return undefined
    const random = new Random(`echo ${this.scenario.seed}`)
    return (output) => {
      const accomplice = this.replicas[heirOf]
      if (accomplice?.isUp !== true || !this.#hasInherited(index, heirOf)) return
      const echoed = echo(output, accomplice.replica, random)
      if (echoed !== undefined) accomplice.say(echoed)
    }
  }

  get #callerCount(): number {
    return this.scenario.clients * this.scenario.callersPerClient
  }

  /** What a replica executes: the class in its first version, or in the next one once it has that build. */
  #buildsOf(index: number): () => ReadonlyMap<string, ActorDefinition> {
    const [first, next] = this.builds.definitions
    const build = this.#asItIs(first, index, this.#random)
    const nextBuild = this.#asItIs(next, index, new Random(`next build ${this.scenario.seed}`))
    return () => (this.upgrade?.isUpgraded(index) === true ? nextBuild : build)
  }

  /** A build in a replica's memory, or with its bugs. */
  #asItIs(
    definitions: ReadonlyMap<string, ActorDefinition>,
    index: number,
    random: Random,
  ): ReadonlyMap<string, ActorDefinition> {
    const liar = this.scenario.liars.find(({ replica }) => replica === index)
    if (liar === undefined) {
      const memory = (this.memories[index] ??= { isArmed: false })
      return inMemory(definitions, memory, random.fork(`memory of ${index}`))
    }
    if (liar.damageRate === 0) return definitions
    return faultyBuild(definitions, random.fork(`build of ${index}`), liar.damageRate)
  }

  /** It began with the next build at an entry where the log had not said so yet: what it has come to is worth nothing, and it knows. */
  #isUnsure(index: number): boolean {
    const number = this.replicas[index]?.protocol?.status.schema.number ?? 0
    return this.upgrade?.isUpgraded(index) === true && number < 2
  }

  #toClient(from: ReplicaId, to: string, bytes: Uint8Array): void {
    const client = this.clients.find(({ id }) => id === to)
    if (client === undefined) return
    const name = to.split("-")[0] ?? to
    this.network.send(from, name, "vote", "datagram", () => {
      if (client.id === to) client.vote(from, bytes)
    })
  }

  #toReplica(from: string, to: ReplicaId, bytes: Uint8Array): void {
    const replica = this.replicas.find(({ replica: name }) => name === to)
    if (replica !== undefined) this.network.send(from, to, "ask", "datagram", () => replica.message(bytes))
  }

  #toPeers(from: ReplicaId, bytes: Uint8Array, to?: ReplicaId): void {
    for (const peer of this.replicas)
      if (peer.replica !== from && (to === undefined || peer.replica === to))
        this.network.send(from, peer.replica, "tell", "datagram", () => peer.peer(from, bytes))
  }

  #toPeer(from: ReplicaId, to: ReplicaId, request: TransferRequest): void {
    const [asking, asked] = [from, to].map((name) => this.replicas.find(({ replica }) => replica === name))
    if (asking === undefined || asked === undefined) return
    this.network.send(from, to, "request", "datagram", () => {
      for (const answer of asked.serve(request))
        this.network.send(to, from, "answer", "datagram", () => asking.answer(to, answer))
    })
  }

  #compareCheckpoint(index: number, seq: number, state: string): void {
    // with one master, replicas take them when they like
    if (this.scenario.purpose !== "survive" || this.scenario.mode === "primary-backup") return
    if (this.isLiar(index) || this.hasFlipped(index)) return this.agreement.suspect(index, seq, state)
    if (!this.#isUnsure(index)) this.agreement.checkpoint(seq, state)
  }

  /** A forked log has two chains, of course. */
  #compare(index: number, status: ReplicaStatus): void {
    if (this.scenario.purpose === "broken-log" || status.waits !== undefined || this.#isUnsure(index)) return
    if (this.isLiar(index) || this.hasFlipped(index)) return
    this.agreement.log(status)
    if (this.scenario.mode === "state-machine") this.agreement.state(status)
  }

  #onceOf(replica: ReplicaId, index: number): Once | undefined {
    const { schedule, chronicle, succession, custody, scenario, disks } = this
    const disk = disks[index]
    if (scenario.singleMaster === undefined || succession === undefined || disk === undefined)
      return undefined
    const random = new Random(`once ${scenario.seed}/${index}`)
    const { lingering } = scenario.singleMaster
    return new Once({ schedule, replica, random, disk, lingering, chronicle, succession, custody })
  }

  #drawClockRate(random: Random): number {
    const { singleMaster } = this.scenario
    if (singleMaster === undefined) return random.pick([0.5, 1, 1, 2])
    return 1 + (2 * random.real() - 1) * clockErrors(singleMaster).rate
  }
}

function modeOf(scenario: Scenario): ReplicationMode {
  const { faults, faultModel, dataShards: data, singleMaster } = scenario
  if (singleMaster !== undefined) return primaryBackupOf(singleMaster)
  if (data === 0) return stateMachine({ faults, faultModel })
  const parity = stateMachine({ faults, faultModel }).replicas - data
  return stateMachine({ faults, faultModel, checkpoints: erasureCoded({ data, parity }) })
}
