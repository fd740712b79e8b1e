import { LEAD_MS } from "@lockstep/replication"
import { depart } from "./departure.ts"
import type { SimulatedDisk } from "./disk.ts"
import { type Fault, type FaultKind, MASTER_FAULTS } from "./faults.ts"
import { Margin } from "./margin.ts"
import type { Random } from "./random.ts"
import { Repairs } from "./repairs.ts"
import type { Simulation } from "./simulation.ts"
import { clockErrors } from "./single-master.ts"

/** Makes things go wrong when the scenario says so, and in the end sets them right. */
export class Nemesis {
  /** Faults that happened, by kind. */
  readonly counts: Record<string, number> = {}
  readonly #world: Simulation
  readonly #random: Random
  /** What may go wrong at a time: where there is a master, and where all are alike. */
  readonly #margin: Margin | undefined
  readonly #repairs: Repairs | undefined
  /** Whose disk somebody has copied last, and when. */
  #copied: { readonly index: number; readonly atMs: number } | undefined

  constructor(world: Simulation, random: Random) {
    this.#world = world
    this.#random = random
    const { scenario, succession } = world
    this.#margin = succession && new Margin({ scenario, succession, replicas: () => world.replicas })
    if (succession === undefined) this.#repairs = new Repairs(scenario, () => world.replicas)
  }

  schedule(): void {
    const { scenario, schedule, replicas } = this.#world
    for (const spare of scenario.spares > 0 ? replicas.slice(-scenario.spares) : []) {
      spare.crash()
      schedule.after(scenario.sparesFromMs, "a spare replica starts", () => spare.start())
    }
    for (const fault of scenario.events)
      schedule.after(fault.atMs, `${fault.kind} ${fault.target}`, () => this.#strike(fault))
    for (const change of scenario.changes)
      schedule.after(change.atMs, `an operator: ${change.kind}`, () => this.#world.operator.change(change))
    this.#world.upgrade?.schedule()
    const { brokenLog } = scenario
    if (brokenLog !== undefined)
      schedule.after(brokenLog.atMs, `the log: ${brokenLog.kind}`, () => this.#breakLog())
  }

  /** Whether the group would go on without this replica, whatever it holds. */
  canDoWithout(index: number): boolean {
    return this.#margin?.isSpare(index) !== false
  }

  /** Everything is up and connected from now on. What the log has lost stays lost. */
  heal(): void {
    const { network, log, replicas, disks } = this.#world
    network.heal()
    log.heal()
    this.#world.operator.heal()
    this.#world.upgrade?.heal()
    if (this.#margin !== undefined)
      for (const disk of disks) {
        disk.isFull = false
        disk.slowMs = 0
      }
    for (const replica of replicas) {
      replica.slowDown(0)
      replica.resume()
      replica.start()
    }
  }

  /** The fault happens, if as much as that may be wrong now. */
  #strike(fault: Fault): void {
    const margin = this.#margin
    const { schedule } = this.#world
    if (fault.kind === "power-failure" && margin?.allowsPowerFailure === false)
      return schedule.note("a power failure would be too much")
    if (this.#repairs?.allows(fault.kind, fault.target) === false)
      return schedule.note(`${fault.kind} ${fault.target} would be too much`)
    this.#repairs?.begin(fault.kind, fault.target)
    if (margin === undefined || !MASTER_FAULTS.some((kind) => kind === fault.kind)) return this.#begin(fault)
    const target = (fault.ofMaster === true ? margin.master : undefined) ?? fault.target
    if (!margin.allows(fault.kind, target)) return schedule.note(`${fault.kind} ${target} would be too much`)
    margin.begin(fault.kind, target)
    this.#begin({ ...fault, target })
    const leavingMs = fault.kind === "stop" ? LEAD_MS : 0
    schedule.after(leavingMs + fault.durationMs, `${target} may recover`, () => margin.end(target))
  }

  #begin(fault: Fault): void {
    this.#count(fault.kind)
    const { schedule, log, network, replicas, disks, memories, clients, scenario } = this.#world
    const replica = replicas[fault.target]
    const margin = this.#margin
    const client = clients[fault.target]
    const disk = disks[fault.target]
    const end = (undo: () => void): void =>
      schedule.after(fault.durationMs, `${fault.kind} ${fault.target} ends`, undo)
    const cut = (pairs: ReadonlyArray<readonly [string, string]>): void => {
      for (const [from, to] of pairs) network.cut(from, to)
      end(() => {
        if (schedule.nowMs >= scenario.durationMs) return // healed meanwhile
        if (margin !== undefined && fault.kind !== "client-isolated") this.#copy(fault.target)
        for (const [from, to] of pairs) network.mend(from, to)
      })
    }
    const others = (name: string): ReadonlyArray<string> =>
      ["log", ...clients.map((_, i) => `c${i}`), ...replicas.map((other) => other.replica)].filter(
        (other) => other !== name,
      )
    const into = (name: string) => others(name).map((other) => [other, name] as const)
    const outOf = (name: string) => others(name).map((other) => [name, other] as const)
    switch (fault.kind) {
      case "crash":
        replica?.crash()
        return end(() => replica?.start())
      case "pause":
        replica?.pause()
        return end(() => replica?.resume())
      case "slow":
        replica?.slowDown(fault.amount * 100)
        return end(() => replica?.slowDown(0))
      case "isolate":
        return replica && cut([...into(replica.replica), ...outOf(replica.replica)])
      case "deaf":
        return replica && cut(into(replica.replica))
      case "mute":
        return replica && cut(outOf(replica.replica))
      case "disk-lost":
        replica?.crash()
        disk?.wipe()
        return end(() => replica?.start())
      case "disk-rotten":
        replica?.crash()
        disk?.rot()
        return end(() => replica?.start())
      case "disk-rolled-back":
        disk?.backUp()
        return end(() => {
          if (schedule.nowMs >= scenario.durationMs) return // the last fault is over
          if (this.#margin?.allows(fault.kind, fault.target) === false) return
          if (this.#repairs?.allows(fault.kind, fault.target) === false) return
          this.#repairs?.begin(fault.kind, fault.target)
          replica?.crash()
          disk?.rollBack()
          replica?.start()
        })
      case "disk-full":
        if (disk !== undefined) disk.isFull = true
        return end(() => disk !== undefined && (disk.isFull = false))
      case "disk-slow":
        if (disk !== undefined) disk.slowMs = fault.amount * 400
        return end(() => disk !== undefined && (disk.slowMs = 0))
      case "aside":
        return (
          replica &&
          cut([...into(replica.replica), ...outOf(replica.replica)].filter((pair) => !pair.some(isClient)))
        )
      case "power-failure": {
        const robbery = this.#robberyOf(fault)
        for (const each of replicas) each.crash()
        if (robbery !== undefined) {
          rob(disks[robbery.target], robbery)
          this.#count(robbery.kind)
        }
        for (const index of replicas.keys())
          margin?.begin(robbery?.target === index ? robbery.kind : fault.kind, index)
        return end(() => {
          for (const each of replicas) each.start()
          for (const index of replicas.keys()) margin?.end(index)
        })
      }
      case "hand-over":
        return replica && replicas[margin?.master ?? 0]?.wish({ _tag: "HandOver", to: replica.replica })
      case "stop":
        return (
          replica &&
          depart(replica, {
            schedule,
            patienceMs: fault.amount < 0.3 ? fault.amount * 1000 : Number.POSITIVE_INFINITY,
            ended: () => end(() => replica.start()),
          })
        )
      case "memory-flip": {
        const memory = memories[fault.target]
        if (memory !== undefined) memory.isArmed = true
        return
      }
      case "consumer-lost":
        return replica && log.loseConsumer(replica.replica)
      case "log-away":
        return log.changeLeader(fault.durationMs, (fault.amount - 0.5) * this.#skewMs)
      case "log-flaps":
        log.changeLeader(fault.durationMs / 4, (fault.amount - 0.5) * this.#skewMs)
        return log.goAwayOnceRead(fault.durationMs * 4)
      case "log-full":
        return log.fill(fault.durationMs)
      case "log-silent":
        log.silence = fault.amount
        return end(() => (log.silence = 0))
      case "client-crash":
        return client?.crash()
      case "client-isolated":
        return cut([...into(`c${fault.target}`), ...outOf(`c${fault.target}`)])
      case "reconnect":
        return client?.reconnected()
      case "garbage-entry":
        log.append("mallory", "client.mallory", Buffer.from(this.#random.bits().toString(36)))
        if (scenario.spares > 0) log.append("mallory", "client.mallory", this.#world.operator.usurpation())
    }
  }

  /** Somebody copies the disk of a replica that nobody has heard of: it may hold what the others do not, and never will. */
  #copy(index: number): void {
    this.#world.disks[index]?.backUp()
    this.#copied = { index, atMs: this.#world.schedule.nowMs }
  }

  /** What every second power failure takes from one of the disks. If there is a copy that is not old, that is put back. */
  #robberyOf({ amount, target }: Fault): Robbery | undefined {
    if (amount < 0.5) return undefined
    const { index, atMs } = this.#copied ?? { index: target, atMs: Number.NEGATIVE_INFINITY }
    const isFresh = this.#world.schedule.nowMs - atMs < COPY_AGE_MAX_MS
    const robbery = isFresh
      ? ({ kind: "disk-rolled-back", target: index } as const)
      : ({ kind: amount < 0.75 ? "disk-lost" : "disk-rotten", target } as const)
    return this.#margin?.allows(robbery.kind, robbery.target) === true ? robbery : undefined
  }

  #count(kind: FaultKind): void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1
  }

  /** How far apart the clocks of two of the log's leaders may be. */
  get #skewMs(): number {
    const { singleMaster } = this.#world.scenario
    return singleMaster === undefined ? 20_000 : 2 * clockErrors(singleMaster).logMs
  }

  #breakLog(): void {
    const { scenario, log, replicas, clients } = this.#world
    const { brokenLog } = scenario
    const node = replicas[brokenLog?.target ?? 0]?.replica ?? "r0"
    this.#world.breakage = {
      lastSeq: log.entries().length,
      applied: replicas.map(({ protocol }) => protocol?.status.applied ?? 0),
      transfers: replicas.map(({ transfers }) => transfers),
    }
    if (brokenLog?.sealed) log.seal()
    switch (brokenLog?.kind) {
      case undefined:
        return
      case "lost-tail":
        this.#world.lost = log.loseTail(this.#random.integer(1, 5))
        return
      case "lost-middle":
        return log.tamper(node, "missing")
      case "rewritten":
        return log.tamper(node, "rewritten")
      case "recreated":
        return log.recreate()
      case "fork":
        return log.fork([node, ...clients.map((_, i) => `c${i}`).filter(() => this.#random.chance(0.5))])
    }
  }
}

/** A copy of a disk that is put back after a power failure is younger. */
const COPY_AGE_MAX_MS = 5000

interface Robbery {
  readonly kind: "disk-lost" | "disk-rolled-back" | "disk-rotten"
  readonly target: number
}

function rob(disk: SimulatedDisk | undefined, { kind }: Robbery): void {
  switch (kind) {
    case "disk-lost":
      return disk?.wipe()
    case "disk-rolled-back":
      return disk?.rollBack()
    case "disk-rotten":
      return disk?.rot()
  }
}

function isClient(name: string): boolean {
  return name.startsWith("c")
}
