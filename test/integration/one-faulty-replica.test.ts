import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { expectEqual, type Fault, LedgerGroup, Load } from "./group.ts"

describe("with one faulty replica of three, no caller notices", () => {
  it.each([0, 1, 2])(
    "r%i is killed with SIGKILL, again and again, and comes back by replay",
    async (index) => {
      await using group = await LedgerGroup.start()
      await using client = await group.connect()
      const load = new Load(client)
      for (let round = 0; round < 3; round++) {
        await load.progress(200)
        await group.replica(index).kill()
        await load.progress(200)
        await group.replica(index).start()
      }
      await load.progress(200)
      await load.stopAndCheck()
      await expectEqual(group.replicas)
      expect(client.counts.dissents.size).toBe(0)
    },
  )

  it.each([0, 1, 2])("r%i is paused with SIGSTOP for some seconds, and catches up", async (index) => {
    await using group = await LedgerGroup.start()
    await using client = await group.connect()
    const load = new Load(client)
    await load.progress(200)
    group.replica(index).pause()
    await sleep(3000)
    await load.progress(200)
    group.replica(index).resume()
    await load.progress(200)
    await load.stopAndCheck()
    await expectEqual(group.replicas)
    expect(client.counts.dissents.size).toBe(0)
  })

  const faults: ReadonlyArray<readonly [replica: string, fault: Fault]> = [
    ["r0", "value"],
    ["r1", "state"],
    ["r2", "error"],
  ]
  it.each(faults)("%s is wrong in its %s from some entry on, and is named", async (replica, fault) => {
    await using group = await LedgerGroup.start({ [replica]: fault })
    await using client = await group.connect()
    const load = new Load(client)
    await load.progress(1500)
    await load.stopAndCheck()
    expect([...client.counts.dissents.keys()]).toEqual([replica])
  })
})
