import { Command, Replicated, stateMachine } from "lockstep"

// As a JavaScript user writes it: decorators are functions. One replica is enough for it.
class Counter {
  value = 0

  add(amount) {
    this.value += amount
    return this.value
  }
}
Command()(Counter.prototype, "add", Object.getOwnPropertyDescriptor(Counter.prototype, "add"))
Replicated({ name: "Counter", version: 1, mode: stateMachine({ faults: 0, faultModel: "crash" }) })(Counter)

export const actors = [Counter]
