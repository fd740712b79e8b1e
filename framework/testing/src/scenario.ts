import { SESSION_LIMITS, type SessionLimits, type FaultModel } from "@lockstep/core"
import { type Fault, MEMORY_FLIP, OTHER_FAULTS, REPLICA_FAULTS } from "./faults.ts"
import { LIES, type Lie } from "./liar.ts"
import { drawMembership, type MembershipChange } from "./membership.ts"
import type { NetworkRates } from "./network.ts"
import { Random } from "./random.ts"
import { drawUpgrade, type Upgrading } from "./upgrade.ts"
import { WORKLOADS } from "./workloads.ts"

/** How the log breaks its promises, in a run whose point is that this is noticed. */
export const BROKEN_LOGS = ["lost-tail", "lost-middle", "rewritten", "recreated", "fork"] as const
export type BrokenLog = (typeof BROKEN_LOGS)[number]

/** How, when and for whom the log breaks its promises. */
export interface Breakage {
  readonly kind: BrokenLog
  readonly atMs: number
  /** The replica that reads something else than the others, where there is one. */
  readonly target: number
  /** Nothing can be appended afterwards, so that no new entry shows that old ones are gone. */
  readonly sealed: boolean
}

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

/** All that a run depends on. Drawn from a seed; shrinking takes things out. */
export interface Scenario {
  readonly seed: number
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

/** A margin that no log reaches. (Scenarios are written as JSON, which has no infinity.) */
const NEVER = 1_000_000_000

/** How long a replica may need, after its fault ended, to be as good as the others again. */
const RECOVERY_MS = 5000

export interface ScenarioLimits {
  readonly workload?: string
  readonly purpose?: Purpose
  readonly operations?: number
}

/** Draws a run: rates and faults differ from seed to seed, so that each kind is sometimes alone and sometimes in company. */
export function drawScenario(seed: number, limits: ScenarioLimits = {}): Scenario {
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
    purpose,
    faults,
    faultModel,
    workload: limits.workload ?? random.pick(WORKLOADS).name,
    clients,
    callersPerClient: random.integer(1, 4),
    operations: limits.operations ?? random.integer(60, 240),
    durationMs,
    network: {
      delayMeanMs: random.pick([0.2, 1, 5, 20]),
      loss: random.pick([0, 0, 0.01, 0.1]),
      duplication: random.pick([0, 0, 0.01, 0.1]),
      straggling: random.pick([0, 0, 0.02]),
    },
    liars,
    events,
    brokenLog:
      purpose === "broken-log"
        ? {
            kind: random.pick(BROKEN_LOGS),
            atMs: random.integer(durationMs / 4, (durationMs * 3) / 4),
            target: random.integer(0, replicas - 1),
            sealed: random.chance(0.3),
          }
        : undefined,
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

function drawOtherFaults(
  random: Random,
  options: { readonly clients: number; readonly durationMs: number },
): ReadonlyArray<Fault> {
  const kinds = random.shuffle(OTHER_FAULTS).slice(0, random.integer(0, OTHER_FAULTS.length))
  const faults: Array<Fault> = []
  if (kinds.length === 0) return faults
  const meanMs = random.pick([1000, 5000])
  const lastMs = random.pick([300, 1000, 6000])
  for (let atMs = random.exponential(meanMs); atMs < options.durationMs; atMs += random.exponential(meanMs))
    faults.push({
      kind: random.pick(kinds),
      atMs,
      durationMs: random.exponential(lastMs),
      target: random.integer(0, options.clients - 1),
      amount: random.real(),
    })
  return faults
}
