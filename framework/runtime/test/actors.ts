import { ActorError, Command, primaryBackup, Query, Replicated, stateMachine } from "lockstep"
import { z } from "zod"

/** Three replicas, two equal votes. */
const masked = stateMachine({ faults: 1, faultModel: "byzantine" })

@Replicated({ name: "test/Counter", version: 1, mode: masked })
export class Counter {
  value = 0

  @Command()
  add(amount: number): number {
    this.value += amount
    return this.value
  }

  @Query()
  read(): number {
    return this.value
  }
}

/** Says no in every way that there is. */
@Replicated({ name: "test/Purse", version: 1, mode: masked })
export class Purse {
  coins = 0n

  @Command({ args: [z.bigint().positive()] })
  put(amount: bigint): bigint {
    this.coins += amount
    return this.coins
  }

  @Command()
  take(amount: bigint): bigint {
    if (amount > this.coins) throw new ActorError("TooFew", { coins: this.coins, wanted: [amount] })
    this.coins -= amount
    return this.coins
  }

  @Command()
  stumble(): number {
    throw new RangeError("a secret of the actor's")
  }
}

/** Takes and gives texts of any length. */
@Replicated({ name: "test/Book", version: 1, mode: masked })
export class Book {
  pages = 0

  @Command()
  write(text: string): number {
    this.pages += text.length
    return this.pages
  }

  @Command()
  bind(_note: object): number {
    return this.pages
  }

  @Query()
  print(length: number): string {
    return "x".repeat(length)
  }
}

/** Another mode, so another lane: three replicas, of which one answer is believed. */
@Replicated({ name: "test/Quick", version: 1, mode: stateMachine({ faults: 2, faultModel: "crash" }) })
export class Quick {
  names: Array<string> = []

  @Command()
  add(name: string): ReadonlyArray<string> {
    this.names.push(name)
    return this.names
  }
}

/** What a group of three hosts in these tests. */
export const actors = [Counter, Purse, Book, Quick]

/** The same address as Counter, from a build that answers wrongly. */
@Replicated({ name: "test/Counter", version: 1, mode: masked })
export class LyingCounter {
  value = 0

  @Command()
  add(amount: number): number {
    this.value += amount
    return -this.value
  }

  @Query()
  read(): number {
    return this.value
  }
}

/** The same address as Counter, from a build that has another method. */
@Replicated({ name: "test/Counter", version: 1, mode: masked })
export class NewerCounter {
  value = 0

  @Command()
  reset(): number {
    this.value = 0
    return this.value
  }
}

/** Hosted by nobody. */
@Replicated({ name: "test/Ghost", version: 1, mode: masked })
export class Ghost {
  @Query()
  boo(): string {
    return "boo"
  }
}

/** Five replicas. */
@Replicated({ name: "test/Wide", version: 1, mode: stateMachine({ faults: 2, faultModel: "byzantine" }) })
export class Wide {
  @Query()
  width(): number {
    return 5
  }
}

/** One replica executes, and answers by itself. */
@Replicated({ name: "test/Primary", version: 1, mode: primaryBackup({ replication: "asynchronous" }) })
export class Primary {
  @Query()
  width(): number {
    return 1
  }
}

/** One replica executes, and answers when all others have it. */
@Replicated({ name: "test/Synchronous", version: 1, mode: primaryBackup({ replication: "synchronous" }) })
export class Synchronous {
  @Query()
  width(): number {
    return 3
  }
}

/** The same as Primary, with a lease half as long. */
@Replicated({
  name: "test/Hasty",
  version: 1,
  mode: primaryBackup({ replication: "asynchronous", timing: { leaseMs: 500 } }),
})
export class Hasty {
  @Query()
  width(): number {
    return 3
  }
}

let tickets = 0

/** Depends on the process that it runs in. */
@Replicated({ name: "test/Turnstile", version: 1, mode: masked })
export class Turnstile {
  @Query()
  ticket(): number {
    return ++tickets
  }
}
