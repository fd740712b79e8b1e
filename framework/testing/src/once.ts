import { type ActorDefinition, type Executed, type Execution, Executor } from "@lockstep/actor"
import type { ReplicaId } from "@lockstep/core"
import type { ReignStatus, ReplicaOptions } from "@lockstep/replication"
import type { Chronicle } from "./chronicle.ts"
import type { Custody } from "./custody.ts"
import type { SimulatedDisk } from "./disk.ts"
import { Random } from "./random.ts"
import type { Schedule } from "./schedule.ts"
import type { Succession } from "./succession.ts"

/** How long an execution takes that takes long, milliseconds, on average. */
const LINGERING_MS = 800

/** What a simulated replica has besides, where one replica executes and the others are given what it came to. */
export interface OnceOptions {
  readonly schedule: Schedule
  readonly replica: ReplicaId
  readonly random: Random
  readonly disk: SimulatedDisk
  /** The share of executions that take long. */
  readonly lingering: number
  readonly chronicle: Chronicle
  readonly succession: Succession
  readonly custody: Custody | undefined
}

/** The executor, the journal and the incarnation of one simulated replica; and those who watch it. */
export class Once {
  readonly chronicle: Chronicle
  readonly succession: Succession
  readonly #options: OnceOptions
  #executor: Executor | undefined
  #incarnation = ""

  constructor(options: OnceOptions) {
    this.#options = options
    this.chronicle = options.chronicle
    this.succession = options.succession
  }

  /** Of the life that the replica is in. */
  get incarnation(): string {
    return this.#incarnation
  }

  /** Another life begins, with what is in the journal, and with this checkpoint. */
  begin(
    definitions: ReadonlyMap<string, ActorDefinition>,
    header: Uint8Array | undefined,
  ): Pick<ReplicaOptions, "incarnation" | "journal"> {
    const { random, disk, replica, schedule } = this.#options
    const journal = disk.journal.records()
    this.#incarnation = `${random.bits().toString(36)}${random.bits().toString(36)}`
    // no two replicas, and no two attempts, see the same world
    const world = new Random(this.#incarnation)
    const skewMs = world.integer(0, 1_000_000)
    this.#executor = new Executor({
      definitions,
      clock: () => skewMs + Math.floor(schedule.nowMs),
      random: () => world.real(),
      uuid: () => `${world.bits().toString(16)}-${world.bits().toString(16)}`,
      onUncaught: () => undefined, // what a workload throws is among its outcomes
    })
    this.chronicle.begins(replica, { header, journal })
    return { incarnation: this.#incarnation, journal }
  }

  /** What the replica says of its reign, after each step. */
  watch(reign: ReignStatus | undefined): void {
    if (reign === undefined) return
    const { custody, chronicle, replica } = this.#options
    custody?.watch(replica, reign)
    if (reign.isMaster) chronicle.acknowledges(reign.epoch, reign.committed)
  }

  /** `done` is told after a while. */
  run(execution: Execution, done: (executed: Executed) => void): void {
    const { schedule, random, replica, lingering } = this.#options
    this.#executor?.run(execution, (executed) => {
      const delayMs = random.exponential(random.chance(lingering) ? LINGERING_MS : 0.3)
      schedule.after(delayMs, `${replica} has executed`, () => done(executed))
    })
  }
}
