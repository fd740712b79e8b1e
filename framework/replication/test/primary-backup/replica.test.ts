import { ReplicaId } from "@lockstep/core"
import { primaryBackup } from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { Group } from "./group.ts"

const SETTINGS = [
  primaryBackup({ replication: "synchronous" }),
  primaryBackup({ replication: "semi-synchronous", acknowledgements: 1 }),
  primaryBackup({ replication: "asynchronous" }),
]

describe("a group with a single master", () => {
  it.each(SETTINGS)("answers, $lane", (mode) => {
    const group = new Group(mode)
    group.advance(500)
    const call = group.call("add", [3])
    group.advance(500)
    expect(call).toEqual({ outcome: { _tag: "Returned", value: 3 } })
    expect(group.call("get", [])).toEqual({ outcome: { _tag: "Returned", value: 3 } })
  })

  it.each(SETTINGS)("elects another one when its primary is gone, which has everything, $lane", (mode) => {
    const group = new Group(mode)
    group.advance(1000)
    for (let i = 0; i < 10; i++) group.call("add", [1])
    group.advance(500)
    const first = group.master
    expect(first).toBeDefined()
    group.stop(first ?? ReplicaId("none"))
    group.advance(2000)
    expect(group.master).not.toBe(first)
    const call = group.call("get", [])
    group.advance(1000)
    expect(call).toEqual({ outcome: { _tag: "Returned", value: 10 } })
    const more = group.call("add", [1])
    group.advance(1000)
    expect(more).toEqual({ outcome: { _tag: "Returned", value: 11 } })
    group.start(first ?? ReplicaId("none"))
    group.advance(2000)
    const reign = group.replicas.get(group.master ?? ReplicaId("none"))?.status.reign
    expect(reign?.inSync).toHaveLength(3)
  })
})
