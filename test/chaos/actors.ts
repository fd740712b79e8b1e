import { List as TestedList, Register as TestedRegister } from "@lockstep/testing"
import { ActorError, Command, Query, Replicated, stateMachine } from "lockstep"

/** How a replica's build can be wrong. */
export const LIES = ["value", "state", "error"] as const
export type Lie = (typeof LIES)[number]

/** f of the group, which all its processes are told. The group has 2f+1 replicas. */
export const faultsMax = Number(process.env["CHAOS_FAULTS_MAX"] ?? "1")
const mode = stateMachine({ faults: faultsMax, faultModel: "byzantine" })

/** The simulator's list, in a group that may be larger than the simulator's. */
@Replicated({ name: "chaos/List", version: 1, mode })
export class List extends TestedList {}

/** The simulator's register, likewise. */
@Replicated({ name: "chaos/Register", version: 1, mode })
export class Register extends TestedRegister {}

/** Wrong from its 20th item on. */
@Replicated({ name: "chaos/List", version: 1, mode })
class LyingList extends List {
  @Command()
  override append(item: number): number {
    const length = super.append(item)
    if (length < 20) return length
    switch (process.env["CHAOS_LIE"]) {
      case "value":
        return length + 1
      case "state":
        this.items.pop()
        return length
      default:
        throw new ActorError("Broken", { length })
    }
  }

  @Query()
  override read(): ReadonlyArray<number> {
    return process.env["CHAOS_LIE"] === "value" ? [] : super.read()
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
export const actors = (process.env["CHAOS_LIE"] ?? "") === "" ? [List, Register] : [LyingList, LyingRegister]
