import { ActorError, Command, Query, Replicated, stateMachine } from "lockstep"

@Replicated({ name: "test/Purse", version: 1, mode: stateMachine({ faults: 1, faultModel: "byzantine" }) })
export class Purse {
  coins = 0

  @Command()
  put(amount: number): number {
    this.coins += amount
    return this.coins
  }

  @Command()
  take(amount: number): number {
    if (amount > this.coins) throw new ActorError("TooFew", { coins: this.coins })
    this.coins -= amount
    return this.coins
  }

  @Query()
  count(): number {
    return this.coins
  }
}

/** Hosted by nobody. */
@Replicated({ name: "test/Ghost", version: 1, mode: stateMachine({ faults: 1, faultModel: "byzantine" }) })
export class Ghost {
  @Query()
  boo(): string {
    return "boo"
  }
}
