import { Command, Replicated, stateMachine } from "lockstep"

/** A counter of which one replica's process can be told to lie. Its state stays right: it answers wrongly. */
@Replicated({
  name: "bench/Witness",
  version: 1,
  mode: stateMachine({ faults: 1, faultModel: "byzantine" }),
})
export class Witness {
  value = 0

  @Command()
  add(amount: number): number {
    this.value += amount
    return liar === OWN_PID ? this.value + 1 : this.value
  }

  /** From now on the process with this id lies, and no other. One that executes this again later has another id. */
  @Command()
  liesIn(pid: number): number {
    liar = pid
    return pid
  }
}

const OWN_PID = process.pid
let liar = 0

export const actors = [Witness]
