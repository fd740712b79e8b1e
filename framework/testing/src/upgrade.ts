import { type ActorDefinition, defineAll } from "@lockstep/actor"
import {
  decodeEnvelope,
  encodeUpgrade,
  type Entry,
  type Envelope,
  Malformed,
  objectionToSchema,
  OPERATOR,
  type ReplicaId,
  type Schema,
} from "@lockstep/core"
import type { ReplicationMode } from "@lockstep/replication"
import { MEMORY_FLIP } from "./faults.ts"
import type { SimulatedLog } from "./log.ts"
import type { Network } from "./network.ts"
import { Random } from "./random.ts"
import type { SimulatedReplica } from "./replica.ts"
import type { Scenario } from "./scenario.ts"
import type { Schedule } from "./schedule.ts"
import type { Workload } from "./workload.ts"

/** An operator upgrades the group, and replicas are started again with the next build. */
export interface Upgrading {
  /** When the log says what is executed, and when it says what is executed from then on. */
  readonly firstAtMs: number
  readonly atMs: number
  /** How long it takes, once the checkpoint is held, until each replica is started again. */
  readonly restartsAfterMs: ReadonlyArray<number>
  /** A replica that is started again too early, by index, with the build that nobody has stated yet. */
  readonly tooEarly: number | undefined
  /** Somebody else states the next schema, too: operators of whom one is late, and one who is none. */
  readonly isContested: boolean
}

/** How often an operator looks whether what was stated is in the log, and whether its checkpoint is held. */
const LOOK_AGAIN_MS = 200

/** The world in which the class gets its next version, where it has one. */
export function drawUpgrade(world: Scenario, replicas: number, workload: Workload | undefined): Scenario {
  // of its own, so that worlds without an upgrade are drawn as if there were none
  const random = new Random(`upgrade ${world.seed}`)
  const { purpose, durationMs, dataShards, liars, checkpointEveryBatches, spares } = world
  // each of the shards counts: where a replica lies, is on probation, or has had no place when it was cut, too few are held
  const isFlipped = world.events.some(({ kind }) => kind === MEMORY_FLIP)
  const isHopeless =
    checkpointEveryBatches === 0 || (dataShards > 0 && (liars.length > 0 || isFlipped || spares > 0))
  if (purpose !== "survive" || workload?.nextClass === undefined || isHopeless || !random.chance(0.8))
    return world
  const firstAtMs = random.integer(durationMs / 20, durationMs / 2)
  // all others are needed, then
  const mayBeEarly = liars.length === 0 && dataShards === 0 && !isFlipped
  const isEarly = world.faultModel === "byzantine" && mayBeEarly && random.chance(0.3)
  return {
    ...world,
    upgrade: {
      firstAtMs,
      atMs: firstAtMs + random.pick([1, random.integer(1, durationMs / 3)]),
      restartsAfterMs: Array.from({ length: replicas + spares }, () =>
        random.pick([0, random.exponential(1500)]),
      ),
      tooEarly: isEarly ? random.integer(0, replicas - 1) : undefined,
      isContested: random.chance(0.3),
    },
  }
}

export interface UpgradeOptions {
  readonly schedule: Schedule
  readonly network: Network
  readonly log: SimulatedLog
  readonly mode: ReplicationMode
  readonly upgrading: Upgrading
  readonly builds: Builds
  readonly replicas: () => ReadonlyArray<SimulatedReplica>
  /** Who votes, by what the log states. */
  readonly voters: () => ReadonlyArray<ReplicaId>
}

/** An operator who upgrades, and whoever starts replicas again. */
export class SimulatedUpgrade {
  readonly #options: UpgradeOptions
  #healed = false
  #isHeld = false
  readonly #upgraded = new Set<number>()

  constructor(options: UpgradeOptions) {
    this.#options = options
  }

  schedule(): void {
    const { schedule, upgrading } = this.#options
    const { tooEarly, firstAtMs, atMs } = upgrading
    schedule.after(firstAtMs, "an operator looks", () => this.#look())
    if (tooEarly !== undefined)
      // once its disk may hold a checkpoint, or the log says what it must not execute
      schedule.after(firstAtMs + (atMs - firstAtMs) / 2, "a replica gets the next build", () => {
        if (this.#stated.number > 0) this.#startAgain(tooEarly)
      })
  }

  /** Nothing is late any more. */
  heal(): void {
    this.#healed = true
    this.#restartAll()
  }

  /** Whether this replica has the next build. */
  isUpgraded(index: number): boolean {
    return this.#upgraded.has(index)
  }

  get #stated(): Schema {
    return statedIn(this.#options.log.entries()).schema
  }

  #look(): void {
    const { schedule, upgrading, builds } = this.#options
    const { number } = this.#stated
    if (number === 0) this.#state({ number: 1, versions: builds.versions[0] })
    else if (number === 1 && (this.#healed || schedule.nowMs >= upgrading.atMs)) {
      this.#state({ number: 2, versions: builds.versions[1] })
      if (upgrading.isContested) this.#contest()
    } else if (number === 2 && this.#holdersOfUpgrade() >= this.#options.mode.holders) {
      this.#isHeld = true
      return this.#restartAll()
    }
    schedule.after(LOOK_AGAIN_MS, "an operator looks again", () => this.#look())
  }

  #state(schema: Schema, source = OPERATOR): void {
    const { network, log } = this.#options
    network.send(source, "log", "schema", "connection", () =>
      log.append(source, source, encodeUpgrade(schema)),
    )
  }

  /** The number is taken, by the one or the other; and a client is no operator. */
  #contest(): void {
    const further = new Map([...this.#options.builds.versions[1], ["simulation/Other", 1]])
    this.#state({ number: 1, versions: further })
    this.#state({ number: 3, versions: further }, "client.mallory")
  }

  /** Voters that attest the checkpoint at the upgrade alike, on their disks: a liar who was removed repeats what another one says. */
  #holdersOfUpgrade(): number {
    const entries = this.#options.log.entries()
    const { seq: upgradeSeq } = statedIn(entries)
    const held = new Map<string, Set<string>>()
    const voters = this.#options.voters()
    for (const { payload, source } of entries) {
      const envelope = understood(payload)
      if (envelope?._tag !== "Attestation" || envelope.seq !== upgradeSeq || !envelope.durable) continue
      if (source !== `replica.${envelope.replica}` || !voters.includes(envelope.replica)) continue
      const holders = held.get(envelope.state) ?? new Set()
      held.set(envelope.state, holders.add(source))
    }
    return Math.max(0, ...[...held.values()].map(({ size }) => size))
  }

  #restartAll(): void {
    const { schedule, upgrading, replicas } = this.#options
    if (!this.#isHeld) return
    for (const [index] of replicas().entries()) {
      const afterMs = this.#healed ? 0 : (upgrading.restartsAfterMs[index] ?? 0)
      schedule.after(afterMs, `replica ${index} gets the next build`, () => this.#startAgain(index))
    }
  }

  #startAgain(index: number): void {
    if (this.#upgraded.has(index)) return
    this.#upgraded.add(index)
    const replica = this.#options.replicas()[index]
    if (replica?.protocol === undefined) return // it will be started some time
    replica.crash()
    replica.start()
  }
}

/** A class in its two versions. */
export class Builds {
  readonly definitions: readonly [ReadonlyMap<string, ActorDefinition>, ReadonlyMap<string, ActorDefinition>]

  constructor({ actorClass, nextClass = actorClass }: Pick<Workload, "actorClass" | "nextClass">) {
    this.definitions = [defineAll([actorClass]), defineAll([nextClass])]
  }

  get versions(): readonly [Schema["versions"], Schema["versions"]] {
    const [first, next] = this.definitions
    return [versionsOf(first), versionsOf(next)]
  }
}

function versionsOf(definitions: ReadonlyMap<string, ActorDefinition>): Schema["versions"] {
  return new Map([...definitions].map(([type, { version }]) => [type, version]))
}

/** The schema that these entries come to, and the entry that states it. */
function statedIn(entries: ReadonlyArray<Entry>): { readonly schema: Schema; readonly seq: number } {
  let current: Schema = { number: 0, versions: new Map() }
  let at = 0
  for (const { payload, source, seq } of entries) {
    const envelope = understood(payload)
    if (envelope?._tag !== "Upgrade") continue
    if (objectionToSchema(envelope.schema, { source, current }) !== undefined) continue
    current = envelope.schema
    at = seq
  }
  return { schema: current, seq: at }
}

function understood(payload: Uint8Array): Envelope | undefined {
  try {
    return decodeEnvelope(payload)
  } catch (cause) {
    if (cause instanceof Malformed) return undefined
    throw cause
  }
}
