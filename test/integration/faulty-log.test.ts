import { describe, it } from "vitest"
import { expectEqual, LedgerGroup, Load } from "./group.ts"

describe("a nats-server that is killed", () => {
  it("loses no acknowledged command and doubles none, over several kills and restarts", async () => {
    await using group = await LedgerGroup.start()
    await using client = await group.connect()
    const load = new Load(client)
    for (let round = 0; round < 4; round++) {
      await load.progress(300)
      await group.server.kill("SIGKILL")
      await group.server.restart()
    }
    await load.progress(300)
    await load.stopAndCheck()
    await expectEqual(group.replicas)
  })
})
