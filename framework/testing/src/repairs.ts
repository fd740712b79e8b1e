import { ROBS } from "./margin.ts"
import type { SimulatedReplica } from "./replica.ts"
import type { Scenario } from "./scenario.ts"

/**
 * Which replicas were robbed of what their disks held, and have not got it back: no more at a time than may be faulty. A scenario leaves them time for
 * that, but on a bad network, or without a log, it may take longer.
 */
export class Repairs {
  readonly #scenario: Scenario
  readonly #replicas: () => ReadonlyArray<SimulatedReplica>
  /** By index. */
  readonly #robbed = new Set<number>()

  constructor(scenario: Scenario, replicas: () => ReadonlyArray<SimulatedReplica>) {
    this.#scenario = scenario
    this.#replicas = replicas
  }

  /** Whether a fault of this kind may come over this replica now. */
  allows(kind: string, index: number): boolean {
    const { purpose, faults, liars } = this.#scenario
    if (purpose !== "survive" || !ROBS.has(kind)) return true
    const others = [...this.#robbed].filter((other) => other !== index && !this.#isWhole(other))
    return others.length < faults - liars.filter(({ heirOf }) => heirOf === undefined).length
  }

  begin(kind: string, index: number): void {
    if (ROBS.has(kind)) this.#robbed.add(index)
  }

  #isWhole(index: number): boolean {
    const replica = this.#replicas()[index]
    const isWhole = replica?.isUp === true && replica.protocol?.status.caughtUp === true
    if (isWhole) this.#robbed.delete(index)
    return isWhole
  }
}
