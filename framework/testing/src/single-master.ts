import { SESSION_LIMITS } from "@lockstep/core"
import {
  primaryBackup,
  type PrimaryBackupOptions,
  type ReplicationMode,
  type Timing,
} from "@lockstep/replication"
import { drawBreakage } from "./breakage.ts"
import { drawOtherFaults, type Fault, GROUP_FAULTS, MASTER_FAULTS } from "./faults.ts"
import { drawMembership } from "./membership.ts"
import { drawRates } from "./network.ts"
import { NEVER, Random } from "./random.ts"
import type { Scenario, ScenarioLimits } from "./scenario.ts"
import { WORKLOADS } from "./workloads.ts"

/** What is special to a run of the primary-backup mode. */
export interface SingleMaster {
  readonly replication: PrimaryBackupOptions["replication"]
  readonly replicas: number
  /** Of a synchronous group. */
  readonly inSyncMin: number
  /** k, of a semi-synchronous group. */
  readonly acknowledgements: number
  readonly below: "refuse" | "degrade"
  readonly timing: Timing
  /** The share of executions that take long, as commands do that wait for the outside world. */
  readonly lingering: number
  /** Where there are several clients, the last one only asks. */
  readonly hasReader: boolean
  /** What the queries of every second caller may miss; 0 where all see everything. */
  readonly maxStalenessMs: number
}

/** Draws a run of the primary-backup mode. */
export function drawSingleMaster(seed: number, limits: ScenarioLimits): Scenario {
  const random = new Random(`primary-backup ${seed}`)
  const dice = random.real()
  const purpose = limits.purpose ?? (dice < 0.75 ? "survive" : dice < 0.9 ? "exceed" : "broken-log")
  const singleMaster = { ...drawSetting(random), ...limits.singleMaster }
  const { replicas } = singleMaster
  const durationMs = random.integer(8000, 30_000)
  const clients = random.integer(1, 4)
  const breaks = purpose === "broken-log"
  const { leaseMs } = singleMaster.timing
  const ofReplicas = breaks ? [] : drawReplicaFaults(random, { ...singleMaster, durationMs, leaseMs })
  const events = breaks
    ? []
    : [
        ...ofReplicas,
        ...drawGroupFaults(random, { replicas, durationMs, leaseMs, after: ofReplicas }),
        ...drawOtherFaults(random, { clients, durationMs }),
      ].toSorted((a, b) => a.atMs - b.atMs)
  const scenario: Scenario = {
    seed,
    mode: "primary-backup",
    singleMaster,
    purpose,
    faults: faultsMax(singleMaster),
    faultModel: "crash",
    workload: limits.workload ?? random.pick(WORKLOADS).name,
    clients,
    callersPerClient: random.integer(1, 4),
    operations: limits.operations ?? random.integer(60, 240),
    durationMs,
    network: drawRates(random),
    liars: [],
    events,
    brokenLog: breaks ? drawBreakage(random, { durationMs, replicas }) : undefined,
    deadlineMs: random.pick([2000, 10_000]),
    windowMax: random.pick([1, 4, 64]),
    sessionLimits: random.chance(0.15)
      ? { ...SESSION_LIMITS, sessionsMax: random.integer(1, 6) }
      : SESSION_LIMITS,
    checkpointEveryBatches: random.pick([3, 10, 30, NEVER]),
    truncationMargin: breaks ? NEVER : random.pick([NEVER, 0, 5, 60]),
    // apart from the other draws: what a seed does otherwise stays as it is
    actorBytesMax: new Random(`memory ${seed}`).pick([0, 1000, NEVER]),
    dataShards: 0,
    spares: 0,
    sparesFromMs: 0,
    changes: [],
  }
  return drawMembership(scenario, replicas)
}

/** How many replicas may be faulty together without a loss that is not reported. */
export function faultsMax({ replication, replicas, acknowledgements }: SingleMaster): number {
  switch (replication) {
    case "synchronous":
      return replicas - 1
    case "semi-synchronous":
      return acknowledgements
    case "asynchronous":
      return replicas
  }
}

/** The mode with this setting. */
export function primaryBackupOf(setting: SingleMaster): ReplicationMode {
  return primaryBackup(optionsOf(setting))
}

/** The setting as a user states it. */
export function optionsOf(setting: SingleMaster): PrimaryBackupOptions {
  const { replication, replicas, inSyncMin, acknowledgements, below, timing } = setting
  switch (replication) {
    case "synchronous":
      return { replication, replicas, timing, inSyncMin }
    case "semi-synchronous":
      return { replication, replicas, timing, acknowledgements, below }
    case "asynchronous":
      return { replication, replicas, timing }
  }
}

/** By how much clocks may be wrong here: a replica's rate, and the log's own clock when its leader changes. */
export function clockErrors({ timing }: SingleMaster): { readonly rate: number; readonly logMs: number } {
  return { rate: timing.clockErrorMs / timing.leaseMs / 4, logMs: timing.clockErrorMs / 2 }
}

function drawSetting(random: Random): SingleMaster {
  const replication = random.pick(["synchronous", "semi-synchronous", "asynchronous"] as const)
  const replicas = random.integer(2, 5)
  const leaseMs = random.integer(500, 3000)
  return {
    replication,
    replicas,
    inSyncMin: random.pick([1, 1, 2]),
    acknowledgements: random.integer(1, Math.min(2, replicas - 1)),
    below: random.pick(["refuse", "degrade"]),
    timing: {
      leaseMs,
      clockErrorMs: Math.round(leaseMs * random.pick([0.02, 0.1, 0.2])),
      backupTimeoutMs: random.integer(200, leaseMs),
    },
    lingering: random.pick([0, 0.02, 0.1]),
    hasReader: random.chance(0.5),
    maxStalenessMs: random.pick([0, 200, 1000, 5000]),
  }
}

/** More than may happen together: the nemesis leaves out what would be too much just then. Every second fault of a master outlasts its lease. */
function drawReplicaFaults(
  random: Random,
  {
    replicas,
    durationMs,
    leaseMs,
    hasReader,
  }: Pick<SingleMaster, "replicas" | "hasReader"> & { readonly durationMs: number; readonly leaseMs: number },
): ReadonlyArray<Fault> {
  const drawn = random.shuffle(MASTER_FAULTS).slice(0, random.integer(1, MASTER_FAULTS.length))
  // who only asks goes on asking a master that is aside
  const kinds = hasReader ? [...drawn, "aside" as const] : drawn
  const faults: Array<Fault> = []
  const meanMs = random.pick([500, 2000, 6000])
  const lastMs = random.pick([300, 1000, 4000])
  for (let atMs = random.exponential(meanMs); atMs < durationMs; atMs += random.exponential(meanMs)) {
    const ofMaster = random.chance(0.6)
    const leastMs = ofMaster && random.chance(0.5) ? leaseMs * 1.2 : 0
    faults.push({
      kind: random.pick(kinds),
      atMs,
      durationMs: leastMs + random.exponential(lastMs),
      target: random.integer(0, replicas - 1),
      ofMaster,
      amount: random.real(),
    })
  }
  return faults
}

/** After these a master comes back with what nobody else has. */
const CUTS: ReadonlySet<string> = new Set(["isolate", "deaf", "mute", "aside"])

/** Half of them come soon after a master is back that was away for longer than its lease: it may then forget what it has learned. */
function drawGroupFaults(
  random: Random,
  {
    replicas,
    durationMs,
    leaseMs,
    after,
  }: {
    readonly replicas: number
    readonly durationMs: number
    readonly leaseMs: number
    readonly after: ReadonlyArray<Fault>
  },
): ReadonlyArray<Fault> {
  const back = after.filter(
    (fault) => fault.ofMaster === true && CUTS.has(fault.kind) && fault.durationMs > leaseMs,
  )
  const draw = (): Pick<Fault, "atMs" | "amount"> => {
    if (back.length === 0 || random.chance(0.5))
      return { atMs: random.real() * durationMs, amount: random.real() }
    const earlier = random.pick(back)
    const atMs = Math.min(earlier.atMs + earlier.durationMs + random.exponential(1000), durationMs)
    return { atMs, amount: (1 + random.real()) / 2 }
  }
  return GROUP_FAULTS.filter(() => random.chance(0.4)).flatMap((kind) =>
    Array.from({ length: random.integer(1, 3) }, () => ({
      kind,
      ...draw(),
      durationMs: random.exponential(1000),
      target: random.integer(0, replicas - 1),
    })),
  )
}
