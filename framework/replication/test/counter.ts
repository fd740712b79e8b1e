import { Command, Query, Replicated } from "@lockstep/actor"
import { ActorError } from "@lockstep/core"
import { stateMachine } from "@lockstep/replication"

export const byzantine = stateMachine({ faults: 1, faultModel: "byzantine" })

@Replicated({ name: "Counter", version: 1, mode: byzantine })
export class Counter {
  value = 0

  @Command()
  add(amount: number): number {
    if (amount < 0) throw new ActorError("Negative", { amount })
    this.value += amount
    return this.value
  }

  @Query()
  text(length: number): string {
    return "x".repeat(length)
  }

  @Query()
  get(): number {
    return this.value
  }
}

/** The same actor in a build that answers wrongly; its state is right. */
@Replicated({ name: "Counter", version: 1, mode: byzantine })
export class LyingCounter extends Counter {
  @Command()
  override add(amount: number): number {
    return super.add(amount) + 1000
  }

  @Query()
  override text(length: number): string {
    return "y".repeat(length)
  }

  @Query()
  override get(): number {
    return -1
  }
}

/** Another liar, who lies otherwise. */
@Replicated({ name: "Counter", version: 1, mode: byzantine })
export class ThrowingCounter extends Counter {
  @Command()
  override add(amount: number): number {
    super.add(amount)
    throw new ActorError("Broken")
  }

  @Query()
  override text(): string {
    throw new ActorError("Broken")
  }

  @Query()
  override get(): number {
    throw new ActorError("Broken")
  }
}
