import { type ActorClass, type ActorContext, Command, Query, Replicated } from "@lockstep/actor"
import { ActorError } from "@lockstep/core"
import { stateMachine } from "@lockstep/replication"
import { bankModel, boardModel, counterModel, listModel, registerModel } from "./models.ts"
import type { Random } from "./random.ts"
import { checkerFor, type Workload, type WorkloadCall } from "./workload.ts"

const mode = stateMachine({ faults: 1, faultModel: "byzantine" })

/** Adds to a few keys, and looks at time, chance and large results on the way. */
@Replicated({ name: "simulation/Counter", version: 1, mode })
class Counter {
  value = 0

  @Command()
  add(amount: number): number {
    this.value += amount
    return this.value
  }

  @Query()
  get(): number {
    return this.value
  }

  /** What a command may know of the world must be equal on all replicas. */
  @Command()
  look(context: ActorContext): ReadonlyArray<unknown> {
    return [context.now, context.uuid(), context.random(), context.caller, context.seq]
  }

  @Query()
  large(length: number): string {
    return String(this.value % 10).repeat(length)
  }

  /** Which version answers shows at once. */
  @Query()
  edition(): ReadonlyArray<number> {
    return [1, this.value]
  }
}

/** The next version: it remembers what it was given by the one before, and how often it was added to since. */
@Replicated({
  name: "simulation/Counter",
  version: 2,
  mode,
  migrations: {
    1: ({ value }: { readonly value: number }) => ({ value, inherited: value, additions: 0 }),
  },
})
class NextCounter extends Counter {
  inherited = 0
  additions = 0

  @Command()
  override add(amount: number): number {
    this.additions += 1
    return super.add(amount)
  }

  @Query()
  override edition(): ReadonlyArray<number> {
    return [2, this.value, this.inherited, this.additions]
  }
}

/** Holds a value: the subject of {@link registerModel}. */
@Replicated({ name: "simulation/Register", version: 1, mode })
export class Register {
  value = 0

  @Query()
  read(): number {
    return this.value
  }

  @Command()
  write(value: number): null {
    this.value = value
    return null
  }

  @Command()
  compareAndSet(expected: number, next: number): boolean {
    if (this.value !== expected) return false
    this.value = next
    return true
  }
}

@Replicated({ name: "simulation/Bank", version: 1, mode })
class Bank {
  balances = new Map<string, bigint>()

  @Command()
  deposit(owner: string, amount: bigint): bigint {
    const balance = (this.balances.get(owner) ?? 0n) + amount
    this.balances.set(owner, balance)
    return balance
  }

  @Command()
  transfer(from: string, to: string, amount: bigint): bigint {
    const balance = this.balances.get(from) ?? 0n
    if (balance < amount) throw new ActorError("InsufficientFunds", { balance })
    this.balances.set(from, balance - amount)
    this.balances.set(to, (this.balances.get(to) ?? 0n) + amount)
    return this.balances.get(from) ?? 0n
  }

  @Query()
  total(): bigint {
    return [...this.balances.values()].reduce((sum, balance) => sum + balance, 0n)
  }
}

/** Remembers what was appended, in order: an item that is lost, doubled or moved shows at once. The subject of {@link listModel}. */
@Replicated({ name: "simulation/List", version: 1, mode })
export class List {
  items: Array<number> = []

  @Command()
  append(item: number): number {
    return this.items.push(item)
  }

  @Query()
  read(): ReadonlyArray<number> {
    return this.items
  }
}

interface Flight {
  readonly date: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

@Replicated({ name: "simulation/Board", version: 1, mode })
class Board {
  departures = 0
  delayed = 0
  delayMinutes = 0
  destinations = new Map<string, number>()

  @Command()
  depart(flight: Flight): number {
    this.departures += 1
    if (flight.delay >= 15) this.delayed += 1
    this.delayMinutes += flight.delay
    this.destinations.set(flight.destination, (this.destinations.get(flight.destination) ?? 0) + 1)
    return this.departures
  }

  @Query()
  board(): { readonly departures: number; readonly delayed: number; readonly delayMinutes: number } {
    const { departures, delayed, delayMinutes } = this
    return { departures, delayed, delayMinutes }
  }
}

const KEYS = ["a", "b", "c"]
const OWNERS = ["ada", "grace", "leslie"]
const AIRPORTS = ["ORD", "SFO", "LAX", "DEN"]

function call(member: string, key: string, ...args: ReadonlyArray<unknown>): WorkloadCall {
  return { member, key, args }
}

function workload(
  parts: Pick<Workload, "name" | "actorClass" | "next" | "checkHistory"> & {
    unmodelled?: ReadonlyArray<string>
    nextClass?: ActorClass
  },
): Workload {
  return { ...parts, determinism: "guarded", unmodelled: new Set(parts.unmodelled), invariants: new Map() }
}

/** The workloads that come with the simulator. */
export const WORKLOADS: ReadonlyArray<Workload> = [
  workload({
    name: "counter",
    actorClass: Counter,
    checkHistory: checkerFor(counterModel),
    nextClass: NextCounter,
    unmodelled: ["look", "large", "edition"],
    next(random) {
      const key = random.pick(KEYS)
      const dice = random.real()
      if (dice < 0.6) return call("add", key, random.integer(1, 9))
      if (dice < 0.85) return call("get", key)
      if (dice < 0.92) return call("look", key)
      return dice < 0.98 ? call("edition", key) : call("large", key, 70_000)
    },
  }),
  workload({
    name: "register",
    actorClass: Register,
    checkHistory: checkerFor(registerModel),
    next(random) {
      const key = random.pick(KEYS)
      const dice = random.real()
      if (dice < 0.35) return call("read", key)
      if (dice < 0.6) return call("write", key, random.integer(0, 4))
      return call("compareAndSet", key, random.integer(0, 4), random.integer(0, 4))
    },
  }),
  workload({
    name: "bank",
    actorClass: Bank,
    checkHistory: checkerFor(bankModel),
    next(random) {
      const key = random.pick(KEYS)
      const dice = random.real()
      if (dice < 0.2) return call("deposit", key, random.pick(OWNERS), someAmount(random))
      if (dice < 0.8)
        return call("transfer", key, random.pick(OWNERS), random.pick(OWNERS), someAmount(random))
      return call("total", key)
    },
  }),
  workload({
    name: "list-append",
    actorClass: List,
    checkHistory: checkerFor(listModel),
    next(random) {
      const key = random.pick(KEYS)
      return random.chance(0.6) ? call("append", key, random.bits()) : call("read", key)
    },
  }),
  workload({
    name: "departures",
    actorClass: Board,
    checkHistory: checkerFor(boardModel),
    next(random) {
      const origin = random.pick(AIRPORTS)
      if (random.chance(0.25)) return call("board", origin)
      return call("depart", origin, {
        date: `2001/01/0${random.integer(1, 9)}`,
        delay: random.integer(-10, 60),
        distance: random.integer(100, 2000),
        origin,
        destination: random.pick(AIRPORTS),
      })
    },
  }),
]

function someAmount(random: Random): bigint {
  return BigInt(random.integer(1, 60))
}
