import { ReplicaId } from "@lockstep/core"
import { describe, expect, it } from "vitest"
import { Chronicle } from "../src/chronicle.ts"
import { bytesOf } from "./pages.ts"

const [r0, r1] = [ReplicaId("r0"), ReplicaId("r1")]
const header = Buffer.from("a checkpoint")
const nothing = { header: undefined, journal: [] }

describe("a chronicle", () => {
  it("follows a replica through what it writes, takes back and begins with", () => {
    const chronicle = new Chronicle()
    chronicle.writes(r0, 1, [bytesOf(1, 1), bytesOf(1, 2), bytesOf(1, 3)])
    chronicle.checkpoint(r0, 2, header)
    chronicle.writes(r0, 3, [])
    chronicle.writes(r0, 3, [bytesOf(2, 3)])
    expect(namesOf(chronicle, r0)).toEqual(["1/1", "1/2", "2/3"])
    chronicle.begins(r1, { header, journal: [bytesOf(1, 2), bytesOf(2, 3)] })
    expect(namesOf(chronicle, r1)).toEqual(["1/1", "1/2", "2/3"])
    chronicle.begins(r1, nothing)
    expect(namesOf(chronicle, r1)).toEqual([])
    expect(chronicle.disagreements).toEqual([])
    expect(chronicle.ends.map(({ record }) => `${record.epoch}/${record.position}`)).toEqual(["1/3", "2/3"])
  })

  it("notices two records of one master at one position", () => {
    const chronicle = new Chronicle()
    chronicle.writes(r0, 1, [bytesOf(1, 1, "this")])
    chronicle.writes(r1, 1, [bytesOf(1, 1, "that")])
    expect(chronicle.disagreements).toEqual(["r1 has another record 1/1 than others"])
  })

  it("notices a record that follows one that it was not made after", () => {
    const chronicle = new Chronicle()
    chronicle.writes(r0, 1, [bytesOf(1, 1), bytesOf(2, 2)])
    chronicle.writes(r1, 1, [bytesOf(2, 1), bytesOf(2, 2)])
    expect(chronicle.disagreements).toEqual(["r1: record 2/2 follows 2/1, and elsewhere 1/1"])
  })

  it("notices a hole, and a record of a master who was gone by then", () => {
    const chronicle = new Chronicle()
    chronicle.writes(r0, 1, [bytesOf(2, 1)])
    chronicle.writes(r0, 3, [bytesOf(2, 3)])
    chronicle.writes(r1, 1, [bytesOf(2, 1), bytesOf(1, 2)])
    expect(chronicle.disagreements).toEqual([
      "r0 writes from 3 on, and has 1 records",
      "r1: record 1/2 follows one of epoch 2",
    ])
  })

  it("notices a checkpoint of what a replica does not have", () => {
    const chronicle = new Chronicle()
    chronicle.writes(r0, 1, [bytesOf(1, 1)])
    chronicle.checkpoint(r0, 2, header)
    expect(chronicle.disagreements).toEqual(["r0 takes a checkpoint at 2, and has 1 records"])
  })

  it("knows what each master made", () => {
    const chronicle = new Chronicle()
    chronicle.writes(r0, 1, [bytesOf(1, 1), bytesOf(1, 2)])
    chronicle.writes(r1, 1, [bytesOf(1, 1), bytesOf(3, 2), bytesOf(3, 3)])
    const positions = chronicle.reigns.map(({ epoch, first, last }) => [
      epoch,
      first.record.position,
      last.record.position,
    ])
    expect(positions).toEqual([
      [1, 1, 2],
      [3, 2, 3],
    ])
  })
})

function namesOf(chronicle: Chronicle, replica: ReplicaId): ReadonlyArray<string> {
  return chronicle.historyOf(replica).map(({ record }) => `${record.epoch}/${record.position}`)
}
