import { type ActorContext, Command, Query, Replicated } from "@lockstep/actor"
import { ActorError } from "@lockstep/core"
import { primaryBackup, stateMachine } from "@lockstep/replication"
import {
  drawScenario,
  runScenario,
  runSeed,
  SIMULATED_MODES,
  simulate,
  type SimulateOptions,
  SimulationFailed,
} from "@lockstep/testing"
import { describe, expect, it } from "vitest"

const mode = stateMachine({ faults: 1, faultModel: "byzantine" })

@Replicated({ name: "test/Stock", version: 1, mode })
class Stock {
  items = 0
  sold: Array<string> = []

  @Command()
  add(count: number): number {
    this.items += count
    return this.items
  }

  @Command()
  sell(context: ActorContext): string {
    if (this.items === 0) throw new ActorError("SoldOut")
    this.items -= 1
    this.sold.push(context.uuid())
    return this.sold.at(-1) ?? ""
  }

  @Query()
  left(): number {
    return this.items
  }
}

/** Looks at nothing but itself, so that the black-box checker can judge it. */
@Replicated({ name: "test/Purse", version: 1, mode })
class Purse {
  coins = 0n

  @Command()
  put(amount: bigint): bigint {
    this.coins += amount
    return this.coins
  }
}

const commands: SimulateOptions<Stock>["commands"] = [
  (stock, random) => stock.add(random.integer(1, 3)),
  (stock) => stock.sell(),
  (stock) => stock.left(),
]

describe("simulate", () => {
  it("tells what was done to a class that is right", () => {
    const totals = simulate(Stock, {
      commands,
      seeds: 10,
      invariants: { "no debt": ({ items }) => items >= 0 },
    })
    expect(totals.seeds).toBe(10)
    expect(totals.answered).toBeGreaterThan(500)
    expect(totals.checked["linearizability"]).toBe(0)
  })

  it("judges a class that does not look at its context by its histories as well", () => {
    const totals = simulate(Purse, {
      commands: [(purse, random) => purse.put(BigInt(random.integer(1, 9)))],
      seeds: 10,
    })
    expect(totals.checked["linearizability"]).toBeGreaterThan(500)
  })

  it("finds an invariant that the class breaks, and says how to see it again", () => {
    const failing = (): unknown =>
      simulate(Stock, { commands, seeds: 10, invariants: { "few are sold": ({ sold }) => sold.length < 5 } })
    expect(failing).toThrow(SimulationFailed)
    expect(failing).toThrow(/few are sold does not hold.*smallest scenario.*firstSeed: \d+, seeds: 1/s)
  })

  it("finds a class that depends on something outside of itself", () => {
    let calls = 0
    @Replicated({ name: "test/Outside", version: 1, mode })
    class Outside {
      seen = 0

      @Command()
      look(): number {
        this.seen = ++calls
        return this.seen
      }
    }
    expect(() => simulate(Outside, { commands: [(outside) => outside.look()], seeds: 3 })).toThrow(
      /look: Nondeterminism: .*ran twice/,
    )
  })

  it("runs a class in its own mode, with the mode's rules", () => {
    const alone = primaryBackup({ replication: "synchronous", replicas: 2 })
    @Replicated({ name: "test/Till", version: 1, mode: alone })
    class Till {
      coins = 0

      @Command()
      put(amount: number): number {
        this.coins += amount
        return this.coins
      }
    }
    const put: SimulateOptions<Till>["commands"] = [(till) => till.put(1)]
    const totals = simulate(Till, { commands: put, seeds: 10 })
    expect(totals.masters["failovers"]).toBeGreaterThan(0)
    expect(totals.masters["answers lost within windows"] ?? 0).toBe(0)
    const failing = (): unknown =>
      simulate(Till, { commands: put, seeds: 10, invariants: { "few coins": ({ coins }) => coins < 5 } })
    expect(failing).toThrow(/few coins does not hold/)
  })

  it("refuses a class that waits for the outside world, of which there is none", () => {
    @Replicated({ name: "test/Waiting", version: 1, mode: primaryBackup({ replication: "synchronous" }) })
    class Waiting {
      @Command()
      async wait(): Promise<void> {
        await Promise.resolve()
      }
    }
    expect(() => simulate(Waiting, { commands: [(waiting) => waiting.wait()] })).toThrow(
      /Waiting.wait is asynchronous/,
    )
  })

  it("refuses a command that makes no call, or more than one", () => {
    const none: SimulateOptions<Stock> = { commands: [() => Promise.resolve()] }
    expect(() => simulate(Stock, none)).toThrow(/makes one valid call.*made 0/)
    const two: SimulateOptions<Stock> = { commands: [(stock) => Promise.all([stock.left(), stock.left()])] }
    expect(() => simulate(Stock, two)).toThrow(/made 2/)
  })
})

describe("what an asynchronous group may lose", () => {
  it("are queries, too, that saw a command which nobody had been answered yet", () => {
    const run = runSeed(30_009_902, { mode: "primary-backup" })
    expect(run.failures).toEqual([])
    expect(run.judgement.masters["answers lost within windows"]).toBeGreaterThan(0)
  })
})

describe.each(SIMULATED_MODES)("a run of the %s mode", (simulated) => {
  it("is the same to the last event whenever its seed is run", () => {
    const hash = (seed: number): string => runSeed(seed, { mode: simulated }).traceHash
    for (const seed of [1, 2, 3, 4, 5]) expect(hash(seed)).toBe(hash(seed))
    expect(hash(1)).not.toBe(hash(2))
  })

  it("depends on nothing but its scenario, which can be written down", () => {
    const scenario = drawScenario(7, { mode: simulated })
    const again: typeof scenario = JSON.parse(JSON.stringify(scenario))
    expect(runScenario(again).traceHash).toBe(runScenario(scenario).traceHash)
  })
})
