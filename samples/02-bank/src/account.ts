import { Schema } from "effect"
import { ActorError, Command, Query, Replicated, stateMachine } from "lockstep"

const Owner = Schema.toStandardSchemaV1(Schema.String.check(Schema.isMinLength(1)))
const Amount = Schema.toStandardSchemaV1(Schema.BigInt.check(Schema.isGreaterThanBigInt(0n)))

/** All accounts of one branch: a transfer touches two of them, and is one command, so nobody sees half of it. */
@Replicated({ name: "bank/Branch", version: 1, mode: stateMachine({ faults: 1, faultModel: "byzantine" }) })
export class Branch {
  balances = new Map<string, bigint>()

  @Command({ args: [Owner, Amount] })
  deposit(owner: string, amount: bigint): bigint {
    const balance = (this.balances.get(owner) ?? 0n) + amount
    this.balances.set(owner, balance)
    return balance
  }

  /** Refuses before it changes anything: what a command did before it threw stays done. */
  @Command({ args: [Owner, Owner, Amount] })
  transfer(from: string, to: string, amount: bigint): bigint {
    const balance = this.balances.get(from) ?? 0n
    if (balance < amount) throw new ActorError("InsufficientFunds", { balance, amount })
    this.balances.set(from, balance - amount)
    this.balances.set(to, (this.balances.get(to) ?? 0n) + amount)
    return this.balances.get(from) ?? 0n
  }

  @Query()
  total(): bigint {
    let total = 0n
    for (const balance of this.balances.values()) total += balance
    return total
  }
}
