import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { GroupName, Partition, ReplicaId } from "@lockstep/core"
import { afterAll, describe, expect, it } from "vitest"
import { Keeper } from "../src/keeper.ts"

const folder = mkdtempSync(join(tmpdir(), "lockstep-trial-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function keeper(replica: string): Keeper {
  const of = { group: GroupName("g"), replica: ReplicaId(replica), partition: Partition(0), logId: "log" }
  return new Keeper(
    folder,
    { ...of, storage: "copies" },
    () => undefined,
    () => undefined,
  )
}

describe("a replica's probation", () => {
  it("outlives its process and what it had kept, until it is trusted again", () => {
    const first = keeper("r0")
    expect(first.trial()).toEqual({})
    first.putAside(7)
    first.putOn("open")
    first.close()
    const second = keeper("r0")
    expect(second.trial()).toEqual({ probation: "open" })
    second.putOn("passed")
    second.close()
    const third = keeper("r0")
    expect(third.trial()).toEqual({})
    third.close()
  })

  it("is its own, and nobody else's", () => {
    const [wrong, right] = [keeper("r1"), keeper("r2")]
    wrong.putOn("open")
    expect(right.trial()).toEqual({})
    wrong.close()
    right.close()
  })
})
