import { SESSION_LIMITS, type SessionLimits, type FaultModel } from "@lockstep/core"
import { type Breakage, drawBreakage } from "./breakage.ts"
import { drawOtherFaults, type Fault, MEMORY_FLIP, REPLICA_FAULTS } from "./faults.ts"
import { LIES, type Lie } from "./liar.ts"
import { drawMembership, type MembershipChange } from "./membership.ts"
import { drawRates, type NetworkRates } from "./network.ts"
import { NEVER, Random } from "./random.ts"
import { drawSingleMaster, type SingleMaster } from "./single-master.ts"
import { drawUpgrade, type Upgrading } from "./upgrade.ts"
import { WORKLOADS } from "./workloads.ts"

/** A replica that is wrong for the whole run, or until it is restarted by hand. */
export interface LyingReplica {
  readonly replica: number
  readonly lies: ReadonlyArray<Lie>
  readonly rate: number
  /** How often its build damages an actor's state; 0 for a build that is right. */
  readonly damageRate: number
  /** It is right until this other liar has lost its vote; from then on the two conspire. */
  readonly heirOf?: number | undefined
}

/** What a run is for. */
export type Purpose =
  /** At most f replicas are faulty at a time: every answer is right, and everybody is answered. */
  | "survive"
  /** More than f replicas are wrong: errors are fine, wrong answers are not. */
  | "exceed"
  /** The log breaks its promises: those who can notice halt, and no answer is wrong. */
  | "broken-log"

/** Ways to replicate that are simulated. */
export const SIMULATED_MODES = ["state-machine", "primary-backup"] as const
export type SimulatedMode = (typeof SIMULATED_MODES)[number]

/** All that a run depends on. Drawn from a seed; shrinking takes things out. */
export interface Scenario {
  readonly seed: number
  readonly mode: SimulatedMode
  /** In the primary-backup mode. */
  readonly singleMaster?: SingleMaster | undefined
  readonly purpose: Purpose
  readonly faults: number
  readonly faultModel: FaultModel
  readonly workload: string
  readonly clients: number
  readonly callersPerClient: number
  readonly operations: number
  /** How long operations and faults go on, virtual milliseconds. */
  readonly durationMs: number
  readonly network: NetworkRates
  readonly liars: ReadonlyArray<LyingReplica>
  readonly events: ReadonlyArray<Fault>
  readonly brokenLog: Breakage | undefined
  readonly deadlineMs: number
  readonly windowMax: number
  readonly sessionLimits: SessionLimits
  /** 0: no checkpoints. */
  readonly checkpointEveryBatches: number
  /** Entries that are left below a checkpoint that f+1 replicas hold; none are truncated where it is infinite. */
  readonly truncationMargin: number
  /** Shards that restore a checkpoint; 0 where each replica keeps a whole copy. */
  readonly dataShards: number
  /** Bytes of actors that stay in memory although they are on the disk. */
  readonly actorBytesMax: number
  /** Replicas that have no vote at first, and that no roster names. */
  readonly spares: number
  /** When they start. */
  readonly sparesFromMs: number
  readonly changes: ReadonlyArray<MembershipChange>
  readonly upgrade?: Upgrading | undefined
}

/** How long a replica may need, after its fault ended, to be as good as the others again. */
const RECOVERY_MS = 5000

export interface ScenarioLimits {
  /** Default: state machine. */
  readonly mode?: SimulatedMode
  readonly workload?: string
  readonly purpose?: Purpose
  readonly operations?: number
  /** In the primary-backup mode: what is not to be drawn. */
  readonly singleMaster?: Partial<SingleMaster>
}

/** Draws a run: rates and faults differ from seed to seed, so that each kind is sometimes alone and sometimes in company. */
export function drawScenario(seed: number, limits: ScenarioLimits = {}): Scenario {
  if (limits.mode === "primary-backup") return drawSingleMaster(seed, limits)
  const random = new Random(seed)
  const dice = random.real()
  const purpose = limits.purpose ?? (dice < 0.7 ? "survive" : dice < 0.85 ? "exceed" : "broken-log")
  // where replicas are trusted, one that read a broken log is believed: that mode trusts the log as well
  const faultModel = purpose === "survive" && random.chance(0.15) ? "crash" : "byzantine"
  const faults = random.chance(0.2) ? 2 : 1
  const replicas = faultModel === "crash" ? faults + 1 : 2 * faults + 1
  const durationMs = random.integer(5000, 20_000)
  const clients = random.integer(1, 4)
  const liars = drawLiars(random, purpose, faultModel, faults, replicas)
  const survivable = purpose === "survive" ? faults - liars.length : purpose === "exceed" ? 1 : 0
  const events = [
    ...drawReplicaFaults(random, {
      replicas,
      liars,
      durationMs,
      together: survivable,
      mayFlip: purpose === "survive" && faultModel === "byzantine" && liars.length === 0,
    }),
    ...(purpose === "broken-log" ? [] : drawOtherFaults(random, { clients, durationMs })),
  ].toSorted((a, b) => a.atMs - b.atMs)
  const flips = events.some(({ kind }) => kind === MEMORY_FLIP)
  const scenario: Scenario = {
    seed,
    mode: "state-machine",
    purpose,
    faults,
    faultModel,
    workload: limits.workload ?? random.pick(WORKLOADS).name,
    clients,
    callersPerClient: random.integer(1, 4),
    operations: limits.operations ?? random.integer(60, 240),
    durationMs,
    network: drawRates(random),
    liars,
    events,
    brokenLog: purpose === "broken-log" ? drawBreakage(random, { durationMs, replicas }) : undefined,
    deadlineMs: random.pick([2000, 10_000]),
    windowMax: random.pick([1, 4, 64]),
    sessionLimits: random.chance(0.25)
      ? { ...SESSION_LIMITS, sessionsMax: random.integer(1, 6) }
      : SESSION_LIMITS,
    checkpointEveryBatches: random.pick(flips ? [3, 10] : [0, 3, 10, 30]),
    truncationMargin: purpose === "broken-log" ? NEVER : random.pick([NEVER, 0, 5, 60]),
    actorBytesMax: random.pick([0, 2000, NEVER]),
    dataShards: faultModel === "byzantine" && random.chance(0.3) ? random.integer(2, faults + 1) : 0,
    spares: 0,
    sparesFromMs: 0,
    changes: [],
  }
  const workload = WORKLOADS.find(({ name }) => name === scenario.workload)
  return drawUpgrade(drawMembership(scenario, replicas), replicas, workload)
}

function drawLiars(
  random: Random,
  purpose: Purpose,
  faultModel: FaultModel,
  faults: number,
  replicas: number,
): ReadonlyArray<LyingReplica> {
  if (faultModel === "crash" || purpose === "broken-log") return []
  const count =
    purpose === "exceed"
      ? random.integer(faults + 1, replicas)
      : random.chance(0.6)
        ? random.integer(1, faults)
        : 0
  const names = random.shuffle(Array.from({ length: replicas }, (_, i) => i)).slice(0, count)
  return names.map((replica) => ({
    replica,
    lies: random.shuffle(LIES).slice(0, random.integer(1, 4)),
    rate: random.pick([0.05, 0.3, 1]),
    // two builds with one bug may well give one wrong answer: nothing masks that, so it proves nothing
    damageRate: purpose === "exceed" ? 0 : random.pick([0, 0, 0.02, 0.2]),
  }))
}

/** Faults of replicas, of which at most `together` overlap, their time of recovery included. */
function drawReplicaFaults(
  random: Random,
  options: {
    readonly replicas: number
    readonly liars: ReadonlyArray<LyingReplica>
    readonly durationMs: number
    readonly together: number
    readonly mayFlip: boolean
  },
): ReadonlyArray<Fault> {
  const kinds = random.shuffle(REPLICA_FAULTS).slice(0, random.integer(1, REPLICA_FAULTS.length))
  const faults: Array<Fault> = []
  const right = Array.from({ length: options.replicas }, (_, i) => i).filter(
    (i) => !options.liars.some(({ replica }) => replica === i),
  )
  if (right.length === 0 || options.together <= 0) return faults
  if (options.mayFlip && random.chance(0.15))
    return [
      {
        kind: MEMORY_FLIP,
        atMs: options.durationMs / 4,
        durationMs: 0,
        target: random.pick(right),
        amount: 0,
      },
    ]
  for (let lane = 0; lane < options.together; lane++) {
    const own = right.filter((_, i) => i % options.together === lane)
    for (let atMs = random.exponential(3000); atMs < options.durationMs && own.length > 0;) {
      const durationMs = random.exponential(2000)
      faults.push({
        kind: random.pick(kinds),
        atMs,
        durationMs,
        target: random.pick(own),
        amount: random.real(),
      })
      atMs += durationMs + RECOVERY_MS + random.exponential(1000)
    }
  }
  return faults
}
