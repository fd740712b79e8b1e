import { type Fault, MEMORY_FLIP, REPLICA_FAULTS } from "./faults.ts"
import { Random } from "./random.ts"
import type { LyingReplica, Scenario } from "./scenario.ts"

/** An operator changes who votes. */
export interface MembershipChange {
  readonly kind: (typeof MEMBERSHIP_CHANGES)[number]
  readonly atMs: number
  /** Who loses the vote, by index; anybody where nothing is said. */
  readonly target: number | undefined
  /** How long it takes, after the log has it, until callers can read of it. */
  readonly copiedAfterMs: number
  /** Another operator wants something else, at the same moment. */
  readonly isContested: boolean
}

export const MEMBERSHIP_CHANGES = ["replace", "add", "remove"] as const

/** The world with spare replicas, operators, and perhaps liars who conspire across the change. */
export function drawMembership(world: Scenario, replicas: number): Scenario {
  // of its own, so that worlds without operators are drawn as if there were none
  const random = new Random(`membership ${world.seed}`)
  if (world.purpose !== "survive" || !random.chance(0.35)) return world
  const spares = random.integer(1, 2)
  const { durationMs } = world
  const drawn = Array.from({ length: random.integer(1, 4) }, () => ({
    kind: random.pick(MEMBERSHIP_CHANGES),
    atMs: random.integer(durationMs / 10, (durationMs * 9) / 10),
    target: undefined as number | undefined, // of this type only here
    copiedAfterMs: random.pick([0, 50, random.exponential(1000), random.exponential(5000)]),
    isContested: random.chance(0.3),
  })).toSorted((a, b) => a.atMs - b.atMs)
  const heir = drawHeir(world, replicas, random)
  const changes = heir === undefined ? drawn : [expulsion(heir, durationMs, random), ...drawn]
  return {
    ...world,
    spares,
    // by then the log may begin after what was executed first
    sparesFromMs: random.pick([0, random.real() * durationMs]),
    changes: changes.toSorted((a, b) => a.atMs - b.atMs),
    liars: heir === undefined ? world.liars : [...world.liars, heir],
    events: world.events
      .filter(({ target, kind }) => !isOfReplica(kind) || target !== heir?.replica)
      // as many replicas are faulty at a time as before, and some of them are spare ones
      .map((event) =>
        isOfReplica(event.kind) && event.kind !== MEMORY_FLIP && random.chance(0.3)
          ? elsewhere(event, replicas + random.integer(0, spares - 1))
          : event,
      ),
  }
}

/** A replica that begins to lie once a liar was removed: at each time, there are no more liars among the voters than before. */
function drawHeir(world: Scenario, replicas: number, random: Random): LyingReplica | undefined {
  const [first] = world.liars
  if (first === undefined || !random.chance(0.6)) return undefined
  const right = Array.from({ length: replicas }, (_, i) => i).filter(
    (i) => !world.liars.some(({ replica }) => replica === i),
  )
  return {
    replica: random.pick(right),
    lies: random.chance(0.5) ? ["wrong-value", "wrong-state-attested"] : ["wrong-value"],
    rate: random.pick([0.3, 1]),
    damageRate: 0,
    heirOf: first.replica,
  }
}

/** The liar whom the heir waits for loses the vote. */
function expulsion(heir: LyingReplica, durationMs: number, random: Random): MembershipChange {
  return {
    kind: "replace",
    atMs: random.integer(durationMs / 10, durationMs / 3),
    target: heir.heirOf,
    copiedAfterMs: random.pick([0, random.exponential(1000), random.exponential(5000)]),
    isContested: false,
  }
}

function isOfReplica(kind: string): boolean {
  return [...REPLICA_FAULTS, MEMORY_FLIP].some((known) => known === kind)
}

function elsewhere(fault: Fault, target: number): Fault {
  return { ...fault, target }
}
