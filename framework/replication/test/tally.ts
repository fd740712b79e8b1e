import { Command, Replicated } from "@lockstep/actor"
import { erasureCoded, stateMachine } from "@lockstep/replication"

export const mode = stateMachine({ faults: 1, faultModel: "byzantine" })
export const sharded = stateMachine({
  faults: 1,
  faultModel: "byzantine",
  checkpoints: erasureCoded({ data: 2, parity: 1 }),
})

/** Counts. */
@Replicated({ name: "Tally", version: 1, mode })
export class Tally {
  count = 0

  @Command()
  add(amount: number): string {
    this.count += amount
    return `${this.count}`
  }
}

/** Counts in tenths: whatever is executed by the wrong one of the two shows. */
@Replicated({
  name: "Tally",
  version: 2,
  mode,
  migrations: { 1: ({ count }: { readonly count: number }) => ({ tenths: count * 10, added: 0 }) },
})
export class TallyOfTenths {
  tenths = 0
  added = 0

  @Command()
  add(amount: number): string {
    this.tenths += amount
    this.added += 1
    return `${this.tenths} tenths, ${this.added} added`
  }
}

/** The third version. */
@Replicated({
  name: "Tally",
  version: 3,
  mode,
  migrations: {
    1: ({ count }: { readonly count: number }) => ({ tenths: count * 10, added: 0 }),
    2: ({ tenths }: { readonly tenths: number }) => ({ hundredths: tenths * 10 }),
  },
})
export class TallyOfHundredths {
  hundredths = 0

  @Command()
  add(amount: number): string {
    this.hundredths += amount
    return `${this.hundredths} hundredths`
  }
}
