import type { Life } from "@lockstep/core"
import type { SimulatedReplica } from "./replica.ts"
import type { Scenario } from "./scenario.ts"
import type { Quorum, Succession } from "./succession.ts"

/** Faults that take something from a disk. */
export const ROBS: ReadonlySet<string> = new Set(["disk-lost", "disk-rotten", "disk-rolled-back"])

/**
 * How much more may go wrong in a group with a single master. A replica is harmed from the beginning of a fault until that has ended and the log calls
 * the replica in sync again, in the life that it is in.
 */
export class Margin {
  readonly #scenario: Scenario
  readonly #succession: Succession
  readonly #replicas: () => ReadonlyArray<SimulatedReplica>
  /** By index of the replica: how many faults last. */
  readonly #harmed = new Map<number, number>()
  /** Those whose disks do not hold what they held. */
  readonly #robbed = new Set<number>()

  constructor(options: {
    readonly scenario: Scenario
    readonly succession: Succession
    readonly replicas: () => ReadonlyArray<SimulatedReplica>
  }) {
    this.#scenario = options.scenario
    this.#succession = options.succession
    this.#replicas = options.replicas
  }

  /** Index of the master, if there is one. */
  get master(): number | undefined {
    const { master } = this.#succession
    const index = this.#replicas().findIndex(({ replica }) => replica === master?.replica)
    return index < 0 ? undefined : index
  }

  /** Whether the group can do without this replica, whatever it has on its disk: the others that are in sync know all that was acknowledged. */
  isSpare(index: number): boolean {
    this.#recover()
    const { singleMaster, faults } = this.#scenario
    const { quorums } = this.#succession
    const harmed = new Set([...this.#harmed.keys(), index].filter((each) => this.#isNamed(each, quorums)))
    if (singleMaster === undefined || harmed.size > faults) return false
    const isLossy = singleMaster.replication === "asynchronous"
    return quorums.every(({ inSync, acknowledgements }) => {
      const left = inSync.filter((life) => this.#isIn(life) && !harmed.has(this.#indexOf(life)))
      return left.length >= (isLossy ? 1 : Math.max(1, inSync.length - acknowledgements))
    })
  }

  /** Whether a fault of this kind may come over this replica now. */
  allows(kind: string, index: number): boolean {
    if (this.#scenario.purpose !== "survive" || this.isSpare(index)) return true
    // what is lost there is reported; but where nobody is left who has read the log, an operator must help
    const isLossy = this.#scenario.singleMaster?.replication === "asynchronous"
    return isLossy && !ROBS.has(kind) && this.#areDisksWhole
  }

  /** Whether all of them may lose power at once: nothing that they hold on their disks is lost. */
  get allowsPowerFailure(): boolean {
    this.#recover()
    return this.#scenario.purpose !== "survive" || this.#areDisksWhole
  }

  get #areDisksWhole(): boolean {
    const { quorums } = this.#succession
    return ![...this.#robbed].some((index) => this.#isNamed(index, quorums))
  }

  begin(kind: string, index: number): void {
    this.#harmed.set(index, (this.#harmed.get(index) ?? 0) + 1)
    if (ROBS.has(kind)) this.#robbed.add(index)
  }

  end(index: number): void {
    this.#harmed.set(index, Math.max(0, (this.#harmed.get(index) ?? 0) - 1))
  }

  #recover(): void {
    const [{ inSync } = { inSync: [] }] = this.#succession.quorums
    for (const [index, faults] of this.#harmed) {
      const replica = this.#replicas()[index]
      const isBack = replica?.isUp === true && inSync.some((life) => this.#isIn(life, index))
      if (faults > 0 || !isBack) continue
      this.#harmed.delete(index)
      this.#robbed.delete(index)
    }
  }

  /** Whether the group counts on this replica, or may soon: it is in sync, or may be once it has caught up. */
  #isNamed(index: number, quorums: ReadonlyArray<Quorum>): boolean {
    const replica = this.#replicas()[index]?.replica
    return quorums.some(
      ({ inSync, voters }) =>
        voters.some((voter) => voter === replica) || inSync.some((life) => life.replica === replica),
    )
  }

  #indexOf(life: Life): number {
    return this.#replicas().findIndex(({ replica }) => replica === life.replica)
  }

  /** Whether this replica is still in that life. Before the first master, any is the first. */
  #isIn(life: Life, index = this.#indexOf(life)): boolean {
    const replica = this.#replicas()[index]
    if (replica?.replica !== life.replica) return false
    return life.incarnation === "" || life.incarnation === replica.incarnation
  }
}
