import { Command, Replicated, stateMachine } from "lockstep"

/** The work that both programs do: one number per key. */
@Replicated({
  name: "bench/Counter",
  version: 1,
  mode: stateMachine({ faults: 1, faultModel: "byzantine" }),
})
export class Counter {
  value = 0

  @Command()
  add(amount: number): number {
    this.value += amount
    return this.value
  }
}

export const actors = [Counter]
