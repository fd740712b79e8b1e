import { BatchWriter, ByteWriter, ClientId, decodeEnvelope, encodeShared, SessionId } from "@lockstep/core"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, it } from "vitest"
import { Command, define, Replicated } from "@lockstep/actor"
import { mode, Stage } from "./stage.ts"

describe("an actor in memory", () => {
  it("does not keep the entry that its first command came in", () => {
    setFlagsFromString("--expose-gc")
    const collect = runInNewContext("gc") as () => void // what that flag adds
    const { actors } = new Stage("guarded", Account)
    const target = actors.find(define(Account).type, "deposit")
    if (typeof target === "string") throw new Error(target)
    const outcomes = new ByteWriter()
    const entries = 200
    const createOne = (seq: number): void => {
      const [command] = batchOf(`an account with a long name, number ${seq}`)
      if (command === undefined) throw new Error("a batch has commands")
      const position = { log: "log", seq, index: 0, nowMs: 0, caller: "client", session: 1, number: seq }
      outcomes.reset()
      actors.execute(outcomes, target, command, position)
    }
    createOne(0)
    collect()
    const before = process.memoryUsage().heapUsed
    for (let seq = 1; seq <= entries; seq++) createOne(seq)
    collect()
    const grownBytes = process.memoryUsage().heapUsed - before
    expect(actors.size).toBe(entries + 1)
    expect(grownBytes).toBeLessThan((entries * FILLER.length) / 10)
  })
})

@Replicated({ name: "bank/Account", version: 1, mode: mode })
class Account {
  balance = 0

  @Command()
  deposit(amount: number): number {
    this.balance += amount
    return this.balance
  }
}

const FILLER = "f".repeat(50_000)

/** A batch of many commands, the first of which is for this actor. */
function batchOf(key: string) {
  const writer = new BatchWriter()
  writer.add("bank/Account", "deposit", key, encodeShared([1]), undefined)
  for (let i = 0; i < 9; i++)
    writer.add("bank/Account", "deposit", "other", encodeShared([FILLER]), undefined)
  const sent = writer.seal({ client: ClientId("c"), session: SessionId(1), number: 1, settledBelow: 1 })
  const envelope = decodeEnvelope(sent)
  return envelope._tag === "Batch" ? envelope.commands : []
}
