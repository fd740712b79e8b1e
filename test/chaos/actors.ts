import { ActorError, Command, Query, Replicated, stateMachine } from "lockstep"

/** How a replica's build can be wrong. */
export const LIES = ["value", "state", "error"] as const
export type Lie = (typeof LIES)[number]

/** f of the group, which all its processes are told. The group has 2f+1 replicas. */
export const faultsMax = Number(process.env["CHAOS_FAULTS_MAX"] ?? "1")
const mode = stateMachine({ faults: faultsMax, faultModel: "byzantine" })

/** Remembers what was recorded, in order: an entry that is lost, doubled or moved shows at once. */
@Replicated({ name: "chaos/Ledger", version: 1, mode })
export class Ledger {
  ids: Array<string> = []

  /** Returns how many entries there are then. */
  @Command()
  record(id: string): number {
    return this.ids.push(id)
  }

  @Query()
  all(): ReadonlyArray<string> {
    return this.ids
  }
}

/** Holds a number. */
@Replicated({ name: "chaos/Register", version: 1, mode })
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

  /** Returns whether it was `expected`, and is `next` now. */
  @Command()
  compareAndSet(expected: number, next: number): boolean {
    if (this.value !== expected) return false
    this.value = next
    return true
  }
}

/** Wrong from its 20th entry on. */
@Replicated({ name: "chaos/Ledger", version: 1, mode })
class LyingLedger extends Ledger {
  @Command()
  override record(id: string): number {
    const length = super.record(id)
    if (length < 20) return length
    switch (process.env["CHAOS_LIE"]) {
      case "value":
        return length + 1
      case "state":
        this.ids.pop()
        return length
      default:
        throw new ActorError("Broken", { length })
    }
  }

  @Query()
  override all(): ReadonlyArray<string> {
    return process.env["CHAOS_LIE"] === "value" ? [] : super.all()
  }
}

/** Wrong about every other number. */
@Replicated({ name: "chaos/Register", version: 1, mode })
class LyingRegister extends Register {
  @Query()
  override read(): number {
    return process.env["CHAOS_LIE"] === "value" ? super.read() + 1 : super.read()
  }

  @Command()
  override write(value: number): null {
    const isWrong = value % 2 === 1
    if (isWrong && process.env["CHAOS_LIE"] === "error") throw new ActorError("Broken")
    return super.write(isWrong && process.env["CHAOS_LIE"] === "state" ? value + 1 : value)
  }

  @Command()
  override compareAndSet(expected: number, next: number): boolean {
    const isSet = super.compareAndSet(expected, next)
    return process.env["CHAOS_LIE"] === "value" ? !isSet : isSet
  }
}

/** What a replica hosts: the correct build, unless CHAOS_LIE says otherwise. */
export const actors =
  (process.env["CHAOS_LIE"] ?? "") === "" ? [Ledger, Register] : [LyingLedger, LyingRegister]
