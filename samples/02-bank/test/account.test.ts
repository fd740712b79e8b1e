import { simulate } from "lockstep/testing"
import { expect, it } from "vitest"
import { Branch } from "../src/account.ts"

it("keeps every invariant of a branch while replicas crash, stall and lie", () => {
  const owners = ["ada", "grace", "edsger"]
  const { answered } = simulate(Branch, {
    seeds: 50,
    keys: ["main-street", "harbour"],
    commands: [
      (branch, random) => branch.deposit(random.pick(owners), BigInt(random.integer(1, 100))),
      (branch, random) =>
        branch.transfer(random.pick(owners), random.pick(owners), BigInt(random.integer(1, 100))),
      (branch) => branch.total(),
    ],
    invariants: {
      "nobody owes": (branch) => [...branch.balances.values()].every((balance) => balance >= 0n),
    },
  })
  expect(answered).toBeGreaterThan(2500)
}, 60_000)
